"""Writes each service's OpenAPI description to tests/contract/openapi: `make openapi`."""

import importlib
import json
import tempfile
from pathlib import Path
from typing import Any

SERVICES = ("encoder", "expander", "retriever", "gateway")
FOLDER = Path(__file__).parent / "openapi"


def described(service: str) -> dict[str, Any]:
    """The OpenAPI description of `service` as it would be served; nothing is started."""
    settings = importlib.import_module(f"{service}.settings").Settings
    with tempfile.TemporaryDirectory() as folder:
        app = importlib.import_module(f"{service}.app").build(settings(state_dir=Path(folder)))
        return dict(app.openapi())


def text(description: dict[str, Any]) -> str:
    return json.dumps(description, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name in SERVICES:
        (FOLDER / f"{name}.json").write_text(text(described(name)))
