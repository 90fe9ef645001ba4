"""The cache of LLM expansions."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from expander.cache import ExpansionCache, key_of


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        self.now += 0.001
        return self.now


@contextmanager
def cache(path: Path, size: int = 10, clock: Clock | None = None) -> Iterator[ExpansionCache]:
    opened = ExpansionCache(path, size, ttl_s=60, clock=clock or Clock())
    try:
        yield opened
    finally:
        opened.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "expansions.sqlite3"


async def test_an_entry_survives_a_restart(path: Path) -> None:
    with cache(path) as before:
        await before.put("key", ("one", "two"))
    with cache(path) as after:
        entry = after.get("key")
        assert entry is not None
        assert entry.topics == ("one", "two")


async def test_an_entry_is_fresh_until_its_time_to_live_and_stays_after(path: Path) -> None:
    clock = Clock()
    with cache(path, clock=clock) as kept:
        await kept.put("key", ("one",))
        entry = kept.get("key")
        assert entry is not None
        assert kept.is_fresh(entry)
        clock.now += 61
        assert kept.get("key") is entry
        assert not kept.is_fresh(entry)


async def test_the_least_recently_used_entry_leaves_first_in_memory_and_file(path: Path) -> None:
    with cache(path, size=2) as kept:
        await kept.put("old", ("1",))
        await kept.put("used", ("2",))
        kept.get("old")
        await kept.put("new", ("3",))
        assert [key for key in ("old", "used", "new") if kept.get(key)] == ["old", "new"]
    with cache(path, size=10) as after:
        assert len(after) == 2


async def test_a_smaller_size_after_a_restart_keeps_the_newest(path: Path) -> None:
    clock = Clock()
    with cache(path, clock=clock) as kept:
        for number in range(5):
            await kept.put(f"key {number}", (str(number),))
    with cache(path, size=2, clock=clock) as smaller:
        assert len(smaller) == 2
        assert smaller.get("key 4")
    with cache(path, clock=clock) as again:
        assert len(again) == 2


@pytest.mark.parametrize("junk", [b"not a database at all, but long enough to look like one" * 100, b""])
async def test_a_file_that_is_no_cache_is_replaced(path: Path, junk: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(junk)
    with cache(path) as kept:
        assert len(kept) == 0
        await kept.put("key", ("one",))
    with cache(path) as after:
        assert after.get("key")


@pytest.mark.parametrize("offset", [100, 5_000, 9_000])
async def test_a_file_damaged_in_the_middle_never_stops_the_service(path: Path, offset: int) -> None:
    with cache(path, size=1_000) as kept:
        for number in range(150):
            await kept.put(f"key {number}", ("a topic", "another topic", "a third topic"))
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\xfe" * 300)
    with cache(path, size=1_000) as after:
        await after.put("key", ("one",))
        assert all(isinstance(topic, str) for number in range(150) if (entry := after.get(f"key {number}")) for topic in entry.topics)


def test_all_that_makes_an_expansion_different_is_in_its_key() -> None:
    base = ("space opera", 5, "v1", "llama")
    others = [
        ("space", 5, "v1", "llama"),
        ("space opera", 3, "v1", "llama"),
        ("space opera", 5, "v2", "llama"),
        ("space opera", 5, "v1", "qwen"),
    ]
    assert key_of(*base) not in {key_of(*other) for other in others}
