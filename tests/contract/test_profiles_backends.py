"""What every store of events promises, asked of each."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.postgresql import Server

from gateway.backends.postgresql import PostgresqlProfiles
from gateway.backends.postgresql_connections import parameters
from gateway.backends.sqlite import SqliteProfiles
from gateway.errors import CursorInvalid, ProfilesUnavailable
from gateway.profiles import Event, Profiles, milliseconds

Opener = Callable[[], Coroutine[Any, Any, Profiles]]


async def opened(url: str) -> Profiles:
    profiles = PostgresqlProfiles(parameters(url), liked_rating=4)
    await profiles.open()
    return profiles


@pytest.fixture
async def opener(one: Opener) -> AsyncIterator[Opener]:
    """Opens one and the same store, as often as it is called; what was opened is closed in the end."""
    async with AsyncExitStack() as stack:

        async def open_another() -> Profiles:
            store = await one()
            stack.push_async_callback(store.close)
            return store

        yield open_another


@pytest.fixture(params=["sqlite", "postgresql"])
def one(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    if request.param == "postgresql":
        server: Server = request.getfixturevalue("postgresql")
        url = server.database()
        return lambda: opened(url)

    async def sqlite() -> Profiles:
        return SqliteProfiles(tmp_path / "profiles.sqlite", liked_rating=4)

    return sqlite


@pytest.fixture
async def profiles(opener: Opener) -> Profiles:
    return await opener()


def likes(user: str, count: int, first: int = 0) -> list[Event]:
    return [Event(user, 1_000 * number, f"i{number}", "like", None) for number in range(first, first + count)]


async def exported(profiles: Profiles, limit: int, cursor: str | None = None) -> list[dict[str, Any]]:
    """Every event from `cursor` on, page by page."""
    seen: list[dict[str, Any]] = []
    while True:
        page = await profiles.page(cursor, limit)
        seen += (events := json.loads(page.events))
        assert len(events) <= limit
        if (cursor := page.next_cursor) is None:
            return seen


async def test_an_event_is_stored_once(profiles: Profiles) -> None:
    event = Event("ann", 5, "dune", "like", None)
    assert (await profiles.add([event, event]), await profiles.add([event])) == (1, 0)
    assert await profiles.add([event._replace(time_ms=6), event._replace(type="view"), event._replace(item_id="it")]) == 3
    assert await profiles.add([]) == 0
    assert await profiles.total() == 4


async def test_an_event_that_is_there_keeps_its_value(profiles: Profiles) -> None:
    await profiles.add([Event("ann", 5, "dune", "rate", 1.5)])
    await profiles.add([Event("ann", 5, "dune", "rate", 4.5)])
    assert [event["value"] for event in await exported(profiles, 5)] == [1.5]


async def test_taste_is_read_newest_first_whatever_the_order_of_arrival(profiles: Profiles) -> None:
    await profiles.add([Event("ann", 3, "c", "like", None), Event("ann", 1, "a", "dismiss", None), Event("ann", 2, "b", "rate", 4.5)])
    read = await profiles.taste("ann")
    assert (read.liked, read.touched) == (("c", "b"), ("c", "b", "a"))
    assert (await profiles.taste("nobody")).touched == ()


async def test_of_events_at_one_time_the_one_stored_last_is_the_newest(profiles: Profiles) -> None:
    await profiles.add([Event("ann", 1, item, "like", None) for item in "zay"])
    assert (await profiles.taste("ann")).touched == ("y", "a", "z")


async def test_a_record_shows_the_newest_200_events_and_counts_all(profiles: Profiles) -> None:
    await profiles.add(likes("ann", 300))
    record = await profiles.record("ann")
    assert record is not None
    assert (len(record.events), record.event_count, len(record.liked)) == (200, 300, 100)
    assert record.events[0] == Event("ann", 299_000, "i299", "like", None)
    assert await profiles.record("nobody") is None


async def test_erasure_removes_all_of_one_user_and_nothing_of_another(profiles: Profiles) -> None:
    await profiles.add(likes("ann", 50) + likes("bob", 7))
    assert (await profiles.erase("ann"), await profiles.erase("ann"), await profiles.erase("nobody")) == (50, 0, 0)
    assert (await profiles.record("ann"), (await profiles.taste("ann")).touched, await profiles.total()) == (None, (), 7)
    assert {event["user_id"] for event in await exported(profiles, 100)} == {"bob"}


@pytest.mark.parametrize(("count", "limit"), [(0, 5), (1, 1), (10, 5), (11, 5), (9, 100)])
async def test_following_the_cursor_reads_every_event_once_and_in_order(profiles: Profiles, count: int, limit: int) -> None:
    await profiles.add(likes("ann", count))
    assert [event["item_id"] for event in await exported(profiles, limit)] == [f"i{number}" for number in range(count)]
    with pytest.raises(CursorInvalid):
        await profiles.page("nonsense", limit)


async def test_a_page_has_the_fields_of_the_contract_and_times_to_the_millisecond(profiles: Profiles) -> None:
    times = [
        "1969-12-31T23:59:59.999Z",
        "2026-03-01T12:34:56.789Z",
        "1900-01-01T00:00:00.001Z",
        "2199-12-31T23:59:59.998Z",
        "1970-01-01T00:00:00.000Z",
    ]
    for at in times:
        await profiles.add([Event("zoë \"'\\\n\u0001 書", milliseconds(datetime.fromisoformat(at)), "dune", "rate", 4.5)])
    raw = (await profiles.page(None, 10)).events
    assert json.loads(raw) == [
        {"user_id": "zoë \"'\\\n\u0001 書", "item_id": "dune", "type": "rate", "value": 4.5, "time": at} for at in times
    ]
    assert list(json.loads(raw)[0]) == ["user_id", "item_id", "type", "value", "time"]
    assert raw.startswith(b'[{"user_id":"')


async def test_two_that_write_at_once_and_one_that_reads_pages_see_every_event_exactly_once(opener: Opener) -> None:
    stores = [await opener() for _ in range(3)]
    writing = True

    async def write(store: Profiles, user: str) -> None:
        for number in range(0, 120, 4):
            assert await store.add(likes(user, 4, number)) == 4

    async def read(store: Profiles) -> list[dict[str, Any]]:
        seen, cursor = list[dict[str, Any]](), None
        while True:
            last = not writing
            page = await store.page(cursor, 3)
            if page.next_cursor is not None or last:
                seen += json.loads(page.events)
                cursor = page.next_cursor or cursor
            if last and page.next_cursor is None:
                return seen

    reading = asyncio.create_task(read(stores[2]))
    await asyncio.gather(*(write(stores[at % 2], f"user-{at}") for at in range(4)))
    writing = False
    seen = [(event["user_id"], event["item_id"]) for event in await reading]
    assert len(seen) == len(set(seen)) == 480 == await stores[0].total()


async def test_what_one_stores_or_erases_another_sees(opener: Opener) -> None:
    first, second = await opener(), await opener()
    await first.add(likes("ann", 3))
    assert (await second.taste("ann")).touched == ("i2", "i1", "i0")
    assert await second.erase("ann") == 3
    assert await first.record("ann") is None


async def test_stores_that_are_opened_at_once_make_the_tables_once(opener: Opener) -> None:
    stores = await asyncio.gather(*(opener() for _ in range(6)))
    await asyncio.gather(*(store.add(likes(f"user-{at}", 2)) for at, store in enumerate(stores)))
    assert {await store.total() for store in stores} == {12}


async def test_a_check_changes_nothing(profiles: Profiles) -> None:
    await profiles.add(likes("ann", 2))
    before = (await profiles.page(None, 10)).events, await profiles.total()
    await profiles.check()
    assert ((await profiles.page(None, 10)).events, await profiles.total()) == before


async def test_a_closed_store_says_that_it_failed(opener: Opener) -> None:
    profiles = await opener()
    await profiles.check()
    await profiles.close()
    with pytest.raises(ProfilesUnavailable, match="try again"):
        await profiles.taste("ann")
    with pytest.raises(ProfilesUnavailable):
        await profiles.check()


USERS, ITEMS = st.sampled_from(["ann", "bob", "Ann", "ä", "a "]), st.sampled_from(["dune", "emma", "it"])
EVENTS = st.builds(
    Event,
    USERS,
    st.integers(-2_208_988_800_000, 7_258_118_399_999) | st.integers(0, 3),
    ITEMS,
    st.sampled_from(["view", "like", "rate", "dismiss"]),
    st.none() | st.integers(-4_000_000, 4_000_000).map(lambda quarter: quarter / 4),
)
OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.lists(EVENTS, max_size=8)),
        st.tuples(st.sampled_from(["taste", "record", "erase"]), USERS),
        st.tuples(st.just("total")),
    ),
    max_size=12,
)


@pytest.fixture(scope="module")
def database(postgresql: Server) -> str:
    return postgresql.database()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(operations=OPERATIONS, limit=st.integers(1, 9))
def test_any_operations_have_the_same_outcome_in_each_store(
    database: str, tmp_path_factory: pytest.TempPathFactory, operations: list[tuple[Any, ...]], limit: int
) -> None:
    async def outcomes(store: Profiles) -> list[Any]:
        told = [await getattr(store, name)(*given) for name, *given in operations]
        told.append(await exported(store, limit))
        await store.close()
        return told

    async def both() -> None:
        file = tmp_path_factory.mktemp("p") / "profiles.sqlite"
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute("DROP SCHEMA IF EXISTS warmstart CASCADE")
        ours = await outcomes(await opened(database))
        assert ours == await outcomes(SqliteProfiles(file, liked_rating=4))

    asyncio.run(both())
