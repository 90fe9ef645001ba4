"""The environment is read in one place."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
READS = re.compile(r"\bos\.(environ|getenv|putenv)\b|from os import .*\b(environ|getenv)\b")


def sources() -> list[Path]:
    return [path for part in ("services", "pipelines") for path in (ROOT / part).rglob("*.py") if ".venv" not in path.parts]


def test_only_servicekit_settings_reads_the_environment() -> None:
    readers = {str(path.relative_to(ROOT)) for path in sources() if READS.search(path.read_text())}
    assert readers == {"services/shared/servicekit/settings.py"}
