"""What every store of expansions promises, held by each of them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from tests.redis_server import Server

from expander.backends.redis_store import RedisStore
from expander.backends.sqlite_store import SqliteStore
from expander.entries import Entry, Store
from expander.metrics import ExpanderMetrics

TOPICS = ("monastic murder", "medieval mystery", "library labyrinth")


def entry(*, made_at: float = 1_000.5, personal: bool = False) -> Entry:
    return Entry(TOPICS, made_at, 120, personal=personal, completion_tokens=20)


@pytest.fixture(params=["sqlite", "redis"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def opened(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[[], Store]]:
    """Opens the test's store, a second time too once the first is closed."""
    if kind == "sqlite":
        yield lambda: SqliteStore(tmp_path / "state" / "expansions.sqlite3", 100, ExpanderMetrics())
    else:
        server: Server = request.getfixturevalue("redis_server")
        yield lambda: RedisStore(server.url, 600, ExpanderMetrics(), timeout_s=5)


@pytest.fixture
async def store(opened: Callable[[], Store]) -> AsyncIterator[Store]:
    store = opened()
    yield store
    await store.close()


async def test_what_was_put_is_what_is_got(store: Store) -> None:
    assert await store.get("key") is None
    whole = Entry(TOPICS, 1_000.5, 120, cause="too_few", personal=True, completion_tokens=20, refused_at=2_000.25)
    await store.put("key", whole, None)
    assert await store.get("key") == whole
    assert await store.get("other") is None


async def test_a_negative_entry_is_kept_with_its_cause(store: Store) -> None:
    await store.put("key", negative := Entry((), 1_000.5, cause="not_json"), None)
    assert await store.get("key") == negative


async def test_a_second_put_takes_the_place_of_the_first(store: Store) -> None:
    await store.put("key", entry(made_at=1), None)
    await store.put("key", entry(made_at=2), "ann")
    assert await store.get("key") == entry(made_at=2)


async def test_entries_are_there_after_a_restart(opened: Callable[[], Store]) -> None:
    before = opened()
    await before.put("key", entry(), "ann")
    await before.close()
    after = opened()
    assert await after.get("key") == entry()
    assert await after.erase("ann") == ["key"]
    await after.close()


async def test_erasing_removes_what_was_put_for_the_user_and_nothing_else(store: Store) -> None:
    await store.put("a1", entry(personal=True), "ann")
    await store.put("a2", entry(personal=True), "ann")
    await store.put("b1", entry(personal=True), "bob")
    await store.put("nobody's", entry(), None)
    assert sorted(await store.erase("ann")) == ["a1", "a2"]
    assert [key for key in ("a1", "a2", "b1", "nobody's") if await store.get(key)] == ["b1", "nobody's"]


async def test_erasing_again_finds_nothing_and_does_no_harm(store: Store) -> None:
    await store.put("key", entry(), "ann")
    assert len(await store.erase("ann")) == 1
    assert list(await store.erase("ann")) == []
    assert list(await store.erase("nobody")) == []


async def test_what_two_users_words_led_to_goes_with_either(store: Store) -> None:
    await store.put("key", entry(), "ann")
    await store.put("key", entry(), "bob")
    assert await store.erase("ann") == ["key"]
    assert await store.get("key") is None


async def test_an_erased_user_begins_anew(store: Store) -> None:
    await store.put("old", entry(), "ann")
    await store.erase("ann")
    await asyncio.sleep(1.1)
    await store.put("new", entry(), "ann", took_s=0.01)
    assert await store.get("new") == entry()
    assert await store.erase("ann") == ["new"]


async def test_a_lease_is_had_again_by_who_has_it_and_once_it_is_released(store: Store) -> None:
    assert await store.lease("key", 60)
    assert await store.lease("key", 60)
    await store.release("key")
    await store.release("key")
    assert await store.lease("key", 60)


async def test_many_at_once_lose_nothing(store: Store) -> None:
    await asyncio.gather(*(store.put(f"key {number}", entry(made_at=number), f"user {number % 7}") for number in range(90)))
    assert [kept.made_at for kept in await asyncio.gather(*(store.get(f"key {number}") for number in range(90))) if kept] == list(range(90))
    assert sum(map(len, await asyncio.gather(*(store.erase(f"user {number}") for number in range(7))))) == 90


ODD = ["", "a key: with {braces}", "K\u00e9y \u65e5\u672c", "quote'; DROP TABLE expansions; --", "k" * 5_000, "line\nbreak"]


async def test_keys_and_users_may_be_any_text(store: Store) -> None:
    for number, text in enumerate(ODD):
        await store.put(text, entry(made_at=number), text)
    for number, text in enumerate(ODD):
        assert await store.get(text) == entry(made_at=number)
        assert await store.erase(text) == [text]
