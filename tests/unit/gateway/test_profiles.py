import asyncio
import json
import signal
import sqlite3
import sys
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from gateway.errors import CursorInvalid, EventInvalid, ProfilesUnavailable
from gateway.profiles import Event, Profiles, cursor_after, milliseconds, seq_of


@pytest.fixture
async def profiles(tmp_path: Path) -> AsyncIterator[Profiles]:
    opened = Profiles(tmp_path / "profiles.sqlite", liked_rating=4)
    yield opened
    opened.close()


def likes(user: str, count: int) -> list[Event]:
    return [Event(user, 1_000 * number, f"i{number}", "like", None) for number in range(count)]


async def test_an_event_is_stored_once(profiles: Profiles) -> None:
    event = Event("ann", 5, "dune", "like", None)
    assert (await profiles.add([event, event]), await profiles.add([event])) == (1, 0)
    assert await profiles.add([event._replace(time_ms=6)]) == 1
    assert await profiles.total() == 2


async def test_taste_is_read_newest_first_whatever_the_order_of_arrival(profiles: Profiles) -> None:
    await profiles.add([Event("ann", 3, "c", "like", None), Event("ann", 1, "a", "dismiss", None), Event("ann", 2, "b", "rate", 4.5)])
    read = await profiles.taste("ann")
    assert (read.liked, read.touched) == (("c", "b"), ("c", "b", "a"))
    assert (await profiles.taste("nobody")).touched == ()


async def test_a_record_shows_the_newest_200_events_and_counts_all(profiles: Profiles) -> None:
    await profiles.add(likes("ann", 300))
    record = await profiles.record("ann")
    assert record is not None
    assert (len(record.events), record.event_count, record.events[0].item_id, len(record.liked)) == (200, 300, "i299", 100)
    assert await profiles.record("nobody") is None


async def test_erasure_leaves_no_byte_of_the_user_in_any_file(profiles: Profiles, tmp_path: Path) -> None:
    await profiles.add(likes("somebody-unmistakable", 500) + likes("other", 10))
    assert await profiles.erase("somebody-unmistakable") == 500
    for path in tmp_path.iterdir():
        assert b"somebody-unmistakable" not in path.read_bytes(), path
    assert await profiles.total() == 10
    assert await profiles.record("somebody-unmistakable") is None


async def test_erasure_waits_for_no_reader_and_empties_the_log_once_none_holds_it(
    profiles: Profiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def remains() -> bool:
        return any(b"somebody-unmistakable" in path.read_bytes() for path in tmp_path.iterdir())

    monkeypatch.setattr("gateway.profiles.TRUNCATE_PAUSE_S", 0.02)
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


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(count=st.integers(0, 30), limit=st.integers(1, 12))
def test_following_the_cursor_reads_every_event_once_and_in_order(tmp_path_factory: pytest.TempPathFactory, count: int, limit: int) -> None:
    async def read() -> list[str]:
        profiles = Profiles(tmp_path_factory.mktemp("p") / "profiles.sqlite", liked_rating=4)
        await profiles.add(likes("ann", count))
        cursor, seen = None, list[str]()
        while True:
            page = await profiles.page(cursor, limit)
            seen += [event["item_id"] for event in json.loads(page.events)]
            assert len(json.loads(page.events)) <= limit
            if (cursor := page.next_cursor) is None:
                profiles.close()
                return seen

    assert asyncio.run(read()) == [f"i{number}" for number in range(count)]


@given(seq=st.integers(1, 2**63 - 1))
def test_a_cursor_leads_back_to_its_number(seq: int) -> None:
    assert seq_of(cursor_after(seq)) == seq


@given(text=st.text(max_size=20))
def test_any_other_text_is_no_cursor(text: str) -> None:
    assume(not (text.startswith("e") and text[1:] == text[1:].lower() and text[1:].isalnum()))
    with pytest.raises(CursorInvalid, match="next_cursor"):
        seq_of(text)


@given(at=st.datetimes(datetime(1900, 1, 2), datetime(2199, 12, 30), timezones=st.just(UTC)))
def test_a_stored_time_is_the_one_given_to_the_millisecond(at: datetime) -> None:
    event = Event("ann", milliseconds(at), "dune", "like", 4.5)
    assert abs(event.time - at) < timedelta(milliseconds=1)


async def test_an_export_gives_time_and_value_back(profiles: Profiles) -> None:
    for at in ("1969-12-31T23:59:59.999Z", "2026-03-01T12:34:56.789Z", "1900-01-01T00:00:00.001Z", "2199-12-31T23:59:59.998Z"):
        await profiles.add([Event(at, milliseconds(datetime.fromisoformat(at)), "dune", "rate", 4.5)])
    exported = json.loads((await profiles.page(None, 10)).events)
    assert [event["time"] for event in exported] == [event["user_id"] for event in exported]
    assert {event["value"] for event in exported} == {4.5}


def test_a_time_without_offset_is_utc_and_an_impossible_one_is_refused() -> None:
    assert milliseconds(datetime(1970, 1, 1, 1)) == 3_600_000
    assert milliseconds(datetime(1970, 1, 1, 1, tzinfo=timezone(timedelta(hours=1)))) == 0
    with pytest.raises(EventInvalid, match="1899"):
        milliseconds(datetime(1899, 12, 31, tzinfo=UTC))


async def test_a_closed_store_says_that_it_failed(tmp_path: Path) -> None:
    profiles = Profiles(tmp_path / "profiles.sqlite", liked_rating=4)
    await profiles.check()
    profiles.close()
    with pytest.raises(ProfilesUnavailable, match="try again"):
        await profiles.taste("ann")
    with pytest.raises(ProfilesUnavailable):
        await profiles.check()


STORE_AND_DIE = """
import asyncio, os, pathlib, signal, sys
from gateway.profiles import Event, Profiles
profiles = Profiles(pathlib.Path(sys.argv[1]), 4)
asyncio.run(profiles.add([Event("ann", number, "dune", "like", None) for number in range(50)]))
os.kill(os.getpid(), signal.SIGKILL)
"""


async def test_acknowledged_events_survive_kill_9(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", STORE_AND_DIE, str(tmp_path / "profiles.sqlite"))
    assert await process.wait() == -signal.SIGKILL
    profiles = Profiles(tmp_path / "profiles.sqlite", liked_rating=4)
    assert await profiles.total() == 50
    profiles.close()
