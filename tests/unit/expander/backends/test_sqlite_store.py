"""The file of expansions: its bounds, and what is left when it is damaged, full, foreign or its process is killed."""

import asyncio
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from expander.backends.sqlite_store import SqliteStore
from expander.entries import PERSONAL_TTL_S, Entry
from expander.errors import StoreUnavailable
from expander.metrics import ExpanderMetrics

SECRET = "a topic that nobody else has"
TOPICS = ("one topic", "another topic", SECRET)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "expansions.sqlite3"


@pytest.fixture
def metrics() -> ExpanderMetrics:
    return ExpanderMetrics()


@asynccontextmanager
async def opened(path: Path, size: int = 1_000, metrics: ExpanderMetrics | None = None) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(path, size, metrics or ExpanderMetrics())
    try:
        yield store
    finally:
        await store.close()


def failures(metrics: ExpanderMetrics, operation: str, reason: str) -> float:
    return metrics.registry.get_sample_value("expander_cache_store_failures_total", {"operation": operation, "reason": reason}) or 0


async def keys_in(store: SqliteStore, number: int) -> list[int]:
    return [found for found in range(number) if await store.get(f"key {found}")]


async def fill(store: SqliteStore, number: int, user_id: str | None = None) -> None:
    for made_at in range(number):
        await store.put(f"key {made_at}", Entry(TOPICS, made_at), user_id)


async def test_the_oldest_leave_when_there_are_too_many_and_their_owners_with_them(path: Path) -> None:
    async with opened(path, size=3) as store:
        await fill(store, 10, "ann")
        assert await keys_in(store, 10) == [7, 8, 9]
        assert sorted(await store.erase("ann")) == ["key 7", "key 8", "key 9"]


async def test_putting_the_same_again_takes_no_room(path: Path) -> None:
    async with opened(path, size=3) as store:
        await fill(store, 3)
        for _ in range(5):
            await store.put("key 1", Entry(TOPICS, 1), None)
        assert await keys_in(store, 3) == [0, 1, 2]


async def test_a_smaller_size_after_a_restart_keeps_the_newest(path: Path) -> None:
    async with opened(path) as store:
        await fill(store, 9)
    async with opened(path, size=2) as smaller:
        await smaller.put("key 9", Entry(TOPICS, 9), None)
        assert await keys_in(smaller, 10) == [8, 9]


async def test_room_that_an_erasure_made_is_used(path: Path) -> None:
    async with opened(path, size=3) as store:
        await fill(store, 3, "ann")
        await store.erase("ann")
        await fill(store, 3)
        assert await keys_in(store, 3) == [0, 1, 2]


async def test_nothing_that_was_erased_is_left_in_the_folder(path: Path) -> None:
    async with opened(path) as store:
        await fill(store, 50, "ann")
        assert any(SECRET.encode() in file.read_bytes() for file in path.parent.iterdir())
        await store.erase("ann")
        assert not any(SECRET.encode() in file.read_bytes() for file in path.parent.iterdir())


async def test_what_users_own_leaves_the_file_after_a_day(path: Path) -> None:
    async with opened(path, size=3) as store:
        await store.put("ann's", Entry(("a", "b", "c"), 0.0, personal=True), "ann")
        await store.put("anyone's", Entry(("a", "b", "c"), 0.0), None)
        await store.put("bob's", Entry(("a", "b", "c"), PERSONAL_TTL_S + 1, personal=True), "bob")
        assert [await store.get(key) is not None for key in ("ann's", "anyone's", "bob's")] == [False, True, True]
        assert await store.erase("ann") == []
        await store.put("one more", Entry(("a", "b", "c"), PERSONAL_TTL_S + 2), None)
        assert await store.get("anyone's") is not None  # the room of what left is used


async def test_users_are_stored_as_hashes(path: Path) -> None:
    async with opened(path) as store:
        await fill(store, 3, "ann@example.org")
        assert not any(b"ann@example.org" in file.read_bytes() for file in path.parent.iterdir())


@pytest.mark.parametrize(
    "junk", [b"not a database at all, but long enough to look like one" * 100, b"", b"SQLite format 3\x00" + b"\xff" * 5_000]
)
async def test_a_file_that_is_no_store_is_replaced(path: Path, junk: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(junk)
    async with opened(path) as store:
        await fill(store, 1)
        assert await keys_in(store, 1) == [0]


async def test_a_file_of_the_version_before_is_replaced(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as old:
        old.execute("PRAGMA journal_mode=WAL")
        old.execute("CREATE TABLE expansions (key TEXT PRIMARY KEY, topics TEXT NOT NULL, stored_at REAL NOT NULL) WITHOUT ROWID")
        old.execute("INSERT INTO expansions VALUES ('key 0', '[\"one\"]', 1.0)")
        old.commit()
    async with opened(path) as store:
        assert await store.get("key 0") is None
        await fill(store, 1)
    async with opened(path) as again:
        assert await keys_in(again, 1) == [0]


@pytest.mark.parametrize("offset", [100, 5_000, 9_000, 20_000])
async def test_a_file_damaged_in_the_middle_never_stops_the_service(path: Path, offset: int) -> None:
    async with opened(path) as store:
        await fill(store, 150)
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\xfe" * 300)
    async with opened(path) as after:
        for number in range(150):
            entry = await after.get(f"key {number}")
            assert entry is None or entry.topics == TOPICS
        await after.put("new", Entry(TOPICS, 1_000), None)
        assert await after.get("new")


async def test_a_file_damaged_while_it_is_open_is_replaced_without_a_restart(path: Path, metrics: ExpanderMetrics) -> None:
    async with opened(path) as before:
        await fill(before, 150)
    async with opened(path, metrics=metrics) as store:
        assert await store.get("key 3")
        with path.open("r+b") as file:
            file.write(b"\xfe" * path.stat().st_size)
        async with asyncio.timeout(10):
            while not await store.get("new"):
                await store.put("new", Entry(TOPICS, 1_000), None)
        assert failures(metrics, "get", "refused") + failures(metrics, "put", "refused") >= 1


async def test_rows_that_are_no_expansions_are_misses_and_counted(path: Path, metrics: ExpanderMetrics) -> None:
    async with opened(path, metrics=metrics) as store:
        await fill(store, 1)
        with closing(sqlite3.connect(path)) as other:
            other.execute('UPDATE expansions SET entry = \'{"topics": ["<script>"]}\'')
            other.commit()
        assert await store.get("key 0") is None
        assert failures(metrics, "get", "unreadable") == 1
        await fill(store, 1)
        assert await store.get("key 0")


async def test_a_folder_that_can_not_be_made_costs_entries_and_is_tried_again(path: Path, metrics: ExpanderMetrics) -> None:
    path.parent.write_text("a file where the folder should be")
    async with opened(path, metrics=metrics) as store:
        await fill(store, 1)
        assert await store.get("key 0") is None
        with pytest.raises(StoreUnavailable, match="ask again"):
            await store.erase("ann")
        assert failures(metrics, "put", "refused") == failures(metrics, "erase", "refused") == 1
        path.parent.unlink()
        await fill(store, 1)
        assert await store.get("key 0")


async def test_a_full_disk_costs_entries_only(path: Path, metrics: ExpanderMetrics) -> None:
    async with opened(path, metrics=metrics) as store:
        await fill(store, 5, "ann")
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4_096, hard))
        try:
            await store.put("too much", Entry(TOPICS, 1), None)
            assert await store.get("too much") is None
            assert failures(metrics, "put", "refused") == 1
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            signal.signal(signal.SIGXFSZ, handler)
        await store.put("too much", Entry(TOPICS, 1), None)
        assert await store.get("too much")
        assert len(await store.erase("ann")) == 5


async def test_the_event_loop_waits_for_no_disk(path: Path) -> None:
    async with opened(path) as store:
        await fill(store, 1)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            putting = asyncio.create_task(store.put("key 1", Entry(TOPICS, 1), None))
            started = time.perf_counter()
            for _ in range(10):
                await asyncio.sleep(0.01)
                assert await store.get("key 0")
            assert time.perf_counter() - started < 2
            assert not putting.done()
            other.execute("ROLLBACK")
        await putting
        assert await store.get("key 1")


PUTTING = """
import asyncio, sys
from pathlib import Path
from expander.backends.sqlite_store import SqliteStore
from expander.entries import PERSONAL_TTL_S, Entry
from expander.metrics import ExpanderMetrics

async def main():
    store = SqliteStore(Path(sys.argv[1]), 1_000_000, ExpanderMetrics())
    for number in range(int(sys.argv[2]), 1_000_000):
        await store.put(f"key {number}", Entry(("one", "two", "three"), number), "ann")
        print(number, flush=True)

asyncio.run(main())
"""


async def test_what_was_acknowledged_survives_kill_9(path: Path) -> None:
    last = -1
    for _ in range(3):
        command = [sys.executable, "-c", PUTTING, str(path), str(last + 1)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _ in range(20):
                last = int(process.stdout.readline())
            os.kill(process.pid, signal.SIGKILL)
            last = max([last, *(int(line) for line in process.stdout.read().split("\n")[:-1])])
        async with opened(path) as store:
            assert await keys_in(store, last + 1) == list(range(last + 1))
    async with opened(path) as store:
        assert len(await store.erase("ann")) >= last + 1
