"""A store of events whose PostgreSQL is killed, frozen, stopped or not as it has to be."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import psycopg
import pytest
from tests.postgresql import PASSWORD, Server

from gateway.backends.postgresql import PostgresqlProfiles
from gateway.backends.postgresql_connections import MAX_CONNECTIONS, parameters
from gateway.backends.postgresql_schema import VERSIONS
from gateway.errors import ProfilesUnavailable, ProfilesUrlInvalid
from gateway.profiles import Event


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[PostgresqlProfiles]:
    profiles = PostgresqlProfiles(parameters(url), liked_rating=4)
    await profiles.open()
    try:
        yield profiles
    finally:
        await profiles.close()


async def reached(profiles: PostgresqlProfiles, within_s: float = 10) -> None:
    """Returns when the store works again, by itself."""
    async with asyncio.timeout(within_s):
        while True:
            try:
                return await profiles.check()
            except ProfilesUnavailable:
                await asyncio.sleep(0.05)


def like(number: int) -> Event:
    return Event("ann", number, f"i{number}", "like", None)


@asynccontextmanager
async def silenced_after_write(url: str) -> AsyncIterator[tuple[str, asyncio.Event]]:
    """The URL of a way to the server where nobody who wrote is listened to again once the server has answered, which sets the event."""
    parts, answered, passing = urlsplit(url), asyncio.Event(), set[asyncio.Task[None]]()

    async def between(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(parts.hostname, parts.port)
        wrote = silenced = False

        async def ask() -> None:
            nonlocal wrote
            while said := await reader.read(2**16):
                wrote = wrote or b"INSERT INTO warmstart.events" in said
                if not silenced:
                    server_writer.write(said)
            server_writer.close()

        async def answer() -> None:
            nonlocal silenced
            while said := await server_reader.read(2**16):
                if wrote:
                    silenced = True
                    answered.set()
                writer.write(said)
            writer.close()
            await writer.wait_closed()

        passing.update((asyncio.create_task(ask()), asyncio.create_task(answer())))

    way = await asyncio.start_server(between, "127.0.0.1", 0)
    try:
        yield parts._replace(netloc=parts.netloc.replace(f":{parts.port}", f":{way.sockets[0].getsockname()[1]}")).geturl(), answered
    finally:
        way.close()
        await asyncio.gather(*passing)


async def test_acknowledged_events_survive_kill_9_of_the_server_and_the_store_recovers(postgresql: Server) -> None:
    acknowledged, attempted = set[str](), 0
    async with opened(postgresql.database()) as profiles:

        async def write() -> None:
            nonlocal attempted
            while attempted < 100_000:
                attempted += 1
                await profiles.add([event := like(attempted)])
                acknowledged.add(event.item_id)

        for _ in range(3):
            before = len(acknowledged)
            writing = asyncio.create_task(write())
            while len(acknowledged) < before + 20:
                await asyncio.sleep(0.001)
            postgresql.end(signal.SIGKILL)
            with pytest.raises(ProfilesUnavailable, match="try again"):
                await writing
            await asyncio.to_thread(postgresql.start)
            await reached(profiles)
            touched = set((await profiles.taste("ann")).touched)
            assert acknowledged <= touched
            assert await profiles.total() == len(touched) <= attempted


@pytest.mark.timed
async def test_calls_fail_at_once_while_the_server_is_down_and_a_store_may_be_opened_meanwhile(postgresql: Server) -> None:
    url = postgresql.database()
    async with opened(url) as profiles:
        await profiles.add([like(1)])
        postgresql.end()
        with pytest.raises(ProfilesUnavailable):
            await profiles.taste("ann")
        started = time.perf_counter()
        for call in (profiles.taste("ann"), profiles.add([like(2)]), profiles.page(None, 5), profiles.total(), profiles.check()):
            with pytest.raises(ProfilesUnavailable):
                await call
        assert time.perf_counter() - started < 1  # one call that waited for a connection would take as long
        async with opened(url) as late:
            with pytest.raises(ProfilesUnavailable):
                await late.erase("ann")
            await asyncio.to_thread(postgresql.start)
            await reached(late)
            assert await late.total() == 1
        await reached(profiles)
        assert (await profiles.taste("ann")).touched == ("i1",)


@pytest.mark.timed
async def test_a_server_that_neither_answers_nor_hangs_up_is_given_up_in_bounded_time(
    postgresql: Server,
) -> None:
    async with opened(postgresql.database()) as profiles:
        await profiles.add([like(1)])
        with postgresql.frozen():
            started = time.perf_counter()
            with pytest.raises(TimeoutError):  # as a recommendation waits for it
                async with asyncio.timeout(0.1):
                    await profiles.taste("ann")
            assert time.perf_counter() - started < 2  # a call has 5 s
            with pytest.raises(ProfilesUnavailable, match=r"did not answer within 0\.5 s"):
                await profiles.check()
            with pytest.raises(ProfilesUnavailable, match="can not be reached"):
                await profiles.add([like(2)])
            assert time.perf_counter() - started < 4
        await reached(profiles)
        assert await profiles.total() == 1


async def test_connections_that_were_cut_while_idle_cost_no_call(postgresql: Server) -> None:
    url = postgresql.database()
    async with opened(url) as profiles:
        for round_number in range(3):
            await asyncio.gather(*(profiles.taste("ann") for _ in range(3 * MAX_CONNECTIONS)))
            with psycopg.connect(postgresql.url(), autocommit=True) as connection:
                query = "SELECT count(pg_terminate_backend(pid)), min(application_name) FROM pg_stat_activity WHERE datname = %s"
                row = connection.execute(query, (urlsplit(url).path[1:],)).fetchone()
            assert row is not None
            assert 1 <= row[0] <= MAX_CONNECTIONS
            assert row[1] == "warmstart-gateway"
            await asyncio.sleep(0.05)
            assert await profiles.add([like(round_number)]) == 1


async def test_more_calls_than_connections_wait_for_each_other(postgresql: Server) -> None:
    async with opened(postgresql.database()) as profiles:
        assert sum(await asyncio.gather(*(profiles.add([like(number)]) for number in range(100)))) == 100
        assert {len(taste.touched) for taste in await asyncio.gather(*(profiles.taste("ann") for _ in range(50)))} == {100}


async def test_writers_that_wait_for_their_turn_leave_connections_to_reads(postgresql: Server) -> None:
    url = postgresql.database()
    async with opened(url) as profiles:
        await profiles.add([like(0)])
        with psycopg.connect(url) as another:
            another.execute("SELECT FROM warmstart.totals FOR UPDATE")
            writing = [asyncio.create_task(profiles.add([like(number)])) for number in range(1, 2 * MAX_CONNECTIONS)]
            await asyncio.sleep(0.3)
            assert (await profiles.taste("ann")).touched == ("i0",)
            await profiles.check()
            another.rollback()
        assert await asyncio.gather(*writing) == [1] * len(writing)


async def test_a_gateway_that_dies_before_it_reads_the_answer_to_a_write_keeps_no_turn(postgresql: Server) -> None:
    url = postgresql.database()
    async with opened(url) as profiles, silenced_after_write(url) as (silenced, answered), opened(silenced) as dying:
        last = asyncio.create_task(dying.add([like(1)]))
        await answered.wait()
        assert await profiles.add([like(2)]) == 1
        assert await last == 1
        assert await profiles.total() == 2


async def test_cancelled_calls_leave_connections_as_they_were(postgresql: Server) -> None:
    url = postgresql.database()
    async with opened(url) as profiles:
        for number in range(100):
            call = profiles.add([like(number)]) if number % 2 else profiles.taste("ann")
            cancelled = asyncio.create_task(call)
            await asyncio.sleep(number % 20 / 4_000)
            cancelled.cancel()
            await asyncio.wait({cancelled})
        assert await profiles.add([like(1_000)]) == 1
        assert await profiles.total() == len((await profiles.taste("ann")).touched)
        with psycopg.connect(postgresql.url(), autocommit=True) as connection:
            query = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND state LIKE %s"
            assert connection.execute(query, (urlsplit(url).path[1:], "idle in transaction%")).fetchone() == (0,)


async def test_tables_of_a_newer_gateway_are_left_alone(postgresql: Server) -> None:
    url = postgresql.database()
    async with opened(url) as profiles:
        await profiles.add([like(1)])
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE warmstart.profiles_version SET version = %s", (len(VERSIONS) + 1,))
        async with opened(url) as profiles:
            with pytest.raises(ProfilesUnavailable):
                await profiles.add([like(2)])
        assert connection.execute("SELECT events FROM warmstart.totals").fetchone() == (1,)


async def test_a_store_that_only_reads_is_not_taken(postgresql: Server) -> None:
    url = postgresql.database()
    async with opened(url) as profiles:
        await profiles.check()
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"ALTER DATABASE {urlsplit(url).path[1:]} SET default_transaction_read_only = on".encode())
        async with opened(url) as late:
            with pytest.raises(ProfilesUnavailable):
                await late.check()


@pytest.mark.parametrize(
    "url",
    [
        f"http://someone:{PASSWORD}@host/events",
        f"postgresql://someone:{PASSWORD}@[host/events",
        f"postgresql://someone:{PASSWORD}@host:port/events?sslmod=x",
        f"host=here password={PASSWORD}",
    ],
)
def test_a_url_that_is_none_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(ProfilesUrlInvalid, match="postgresql://user") as refused:
        parameters(url)
    assert PASSWORD not in str(refused.value)
    assert refused.value.__suppress_context__


def test_the_url_decides_what_it_speaks_of_and_a_line_break_at_its_end_is_none_of_it() -> None:
    said = parameters("postgresql://host/events?application_name=mine&sslmode=verify-full&target_session_attrs=any\n")
    assert "application_name=mine" in said
    assert "sslmode=verify-full" in said
    assert "target_session_attrs=any" in said
    assert "dbname=events" in said.split()
