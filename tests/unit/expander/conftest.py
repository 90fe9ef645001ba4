"""A small artefact written by hand, a fake LLM, and the real application over both."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.fakes.llm import FakeLlm, fake_llm

from expander.app import build
from expander.artefact import content_hash
from expander.settings import Settings

LABELS = (
    ("fiction of all kinds", 90),
    ("science fiction", 30),
    ("space", 10),
    ("aliens", 10),
    ("political thriller", 12),
    ("spy thriller", 9),
    ("cozy mystery", 8),
    ("murder mystery", 14),
    ("vampire fiction", 7),
    ("paranormal romance", 20),
)
NUMBER = {label: position for position, (label, _) in enumerate(LABELS)}
RELATED = {
    "science fiction": {"space": 0.5, "aliens": 0.5},
    "space": {"aliens": 0.7, "science fiction": 0.5, "fiction of all kinds": 0.9},
    "aliens": {"space": 0.7},
    "political thriller": {"spy thriller": 0.7},
    "cozy mystery": {"murder mystery": 0.6},
    "vampire fiction": {"paranormal romance": 0.8},
}


def content() -> dict[str, Any]:
    """An artefact of ten topics, without its hash."""
    return {
        "format": 1,
        "items": 100,
        "topics": [list(pair) for pair in LABELS],
        "common": [0],
        "related": [[[NUMBER[other], strength] for other, strength in RELATED.get(label, {}).items()] for label, _ in LABELS],
        "phrases": {
            **NUMBER,
            "space opera": 2,
            "sci fi": 1,
            "scifi": 1,
            "cosy mystery": 6,
            "vampire": 8,
        },
        "words": {"agatha": [[NUMBER["murder mystery"], 0.9]], "cat": [[NUMBER["cozy mystery"], 0.2]]},
    }


def write_artefact(path: Path, **changes: Any) -> str:
    """Writes `content()` with `changes` to `path`; its hash."""
    changed = {**content(), **changes}
    path.write_text(json.dumps({"content_hash": content_hash(changed), **changed}))
    return content_hash(changed)


@pytest.fixture
def artefact(tmp_path: Path) -> Path:
    path = tmp_path / "topics.json"
    write_artefact(path)
    return path


@pytest.fixture
async def llm() -> AsyncIterator[FakeLlm]:
    async with fake_llm() as running:
        yield running


Service = Callable[..., AbstractAsyncContextManager[httpx2.AsyncClient]]


@pytest.fixture
def service(tmp_path: Path) -> Service:
    """Starts the application with some settings, its state in one folder per test; a client of it."""

    @asynccontextmanager
    async def started(**settings: Any) -> AsyncIterator[httpx2.AsyncClient]:
        chosen = {"state_dir": tmp_path / "state", "topics_path": tmp_path / "topics.json", "llm_model": "fake", **settings}
        app = build(Settings(**chosen))
        async with (
            app.router.lifespan_context(app),
            httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://expander") as client,
        ):
            yield client

    return started
