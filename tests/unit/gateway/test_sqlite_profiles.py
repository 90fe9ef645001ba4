"""What only the store in a SQLite file promises; what every store does is in `tests/contract`."""

import asyncio
import signal
import sqlite3
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.backends.sqlite import SqliteProfiles
from gateway.profiles import Event


@pytest.fixture
async def profiles(tmp_path: Path) -> AsyncIterator[SqliteProfiles]:
    opened = SqliteProfiles(tmp_path / "profiles.sqlite", liked_rating=4)
    yield opened
    await opened.close()


def likes(user: str, count: int) -> list[Event]:
    return [Event(user, 1_000 * number, f"i{number}", "like", None) for number in range(count)]


async def test_erasure_leaves_no_byte_of_the_user_in_any_file(profiles: SqliteProfiles, tmp_path: Path) -> None:
    await profiles.add(likes("somebody-unmistakable", 500) + likes("other", 10))
    assert await profiles.erase("somebody-unmistakable") == 500
    for path in tmp_path.iterdir():
        assert b"somebody-unmistakable" not in path.read_bytes(), path
    assert await profiles.total() == 10
    assert await profiles.record("somebody-unmistakable") is None


async def test_erasure_waits_for_no_reader_and_empties_the_log_once_none_holds_it(
    profiles: SqliteProfiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def remains() -> bool:
        return any(b"somebody-unmistakable" in path.read_bytes() for path in tmp_path.iterdir())

    monkeypatch.setattr("gateway.backends.sqlite.TRUNCATE_PAUSE_S", 0.02)
    await profiles.add(likes("somebody-unmistakable", 50))
    reader = sqlite3.connect(tmp_path / "profiles.sqlite", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM events").fetchone()
    started = time.perf_counter()
    assert await profiles.erase("somebody-unmistakable") == 50
    await profiles.add(likes("other", 1))
    assert time.perf_counter() - started < 1
    assert remains()
    reader.close()
    async with asyncio.timeout(5):
        while remains():
            await asyncio.sleep(0.02)


STORE_AND_DIE = """
import asyncio, os, pathlib, signal, sys
from gateway.backends.sqlite import SqliteProfiles
from gateway.profiles import Event
profiles = SqliteProfiles(pathlib.Path(sys.argv[1]), 4)
asyncio.run(profiles.add([Event("ann", number, "dune", "like", None) for number in range(50)]))
os.kill(os.getpid(), signal.SIGKILL)
"""


async def test_acknowledged_events_survive_kill_9(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", STORE_AND_DIE, str(tmp_path / "profiles.sqlite"))
    assert await process.wait() == -signal.SIGKILL
    profiles = SqliteProfiles(tmp_path / "profiles.sqlite", liked_rating=4)
    assert await profiles.total() == 50
    await profiles.close()
