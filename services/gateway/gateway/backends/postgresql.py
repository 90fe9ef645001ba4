"""Events in a PostgreSQL that every gateway uses. Knows nothing of the catalogue or of recommendations.

Writers take turns: each begins by locking the one row of `totals`, before its events get their numbers, and PostgreSQL lets a lock go
only after the commit can be seen. So numbers are committed in their order, and a page of events never skips one that comes later.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from psycopg.rows import tuple_row

from gateway.backends.postgresql_connections import CALL_S, Connection, Connections
from gateway.backends.postgresql_schema import prepare
from gateway.errors import ProfilesUnavailable
from gateway.evidence import Taste
from gateway.profiles import READ_DEEDS, SHOWN_EVENTS, Event, Page, Record, cursor_after, seq_of, taste_of

CHECK_S = 0.5
"""How long readiness looks at the store: less than the second that a kubelet waits for an answer."""
WRITERS = 2
"""Writes of one gateway that take a connection: one is stored, the next waits for its turn. The other connections are left to reads."""
TURN = "SELECT FROM warmstart.totals FOR UPDATE"
ADD = """
WITH new AS (
    INSERT INTO warmstart.events (user_id, time_ms, item_id, type, value)
    SELECT * FROM unnest(%s::text[], %s::bigint[], %s::text[], %s::text[], %s::double precision[])
    ON CONFLICT DO NOTHING RETURNING 1
)
UPDATE warmstart.totals SET events = events + (SELECT count(*) FROM new) RETURNING (SELECT count(*) FROM new)
"""
ERASE = """
WITH gone AS (DELETE FROM warmstart.events WHERE user_id = %s RETURNING 1)
UPDATE warmstart.totals SET events = events - (SELECT count(*) FROM gone) RETURNING (SELECT count(*) FROM gone)
"""
PAGE = """
SELECT '[' || coalesce(string_agg(row_to_json(shown)::text, ',' ORDER BY seq), '') || ']', max(seq), count(*)
FROM (SELECT * FROM warmstart.events WHERE seq > %s ORDER BY seq LIMIT %s) AS page,
    LATERAL (SELECT user_id, item_id, type, value,
        to_char(timestamp 'epoch' + time_ms * interval '1 millisecond', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS time) AS shown
"""
NEWEST = "FROM warmstart.events WHERE user_id = %s ORDER BY time_ms DESC, seq DESC LIMIT %s"
TASTE, EVENTS = f"SELECT item_id, type, value {NEWEST}", f"SELECT user_id, time_ms, item_id, type, value {NEWEST}"


class PostgresqlProfiles:
    """The events in the schema `warmstart` of the database that `parameters` lead to. Every method raises `ProfilesUnavailable`."""

    shared = True

    def __init__(self, parameters: str, liked_rating: float) -> None:
        self._connections, self._liked_rating = Connections(parameters, prepare), liked_rating
        self._writers = asyncio.Semaphore(WRITERS)

    async def open(self) -> None:
        """Makes the tables if they are missing; a server that can not be reached is no error here."""
        await self._connections.open()

    async def close(self) -> None:
        """Gives calls in flight some seconds; later ones fail."""
        await self._connections.close()

    async def add(self, events: Sequence[Event]) -> int:
        """Stores all of `events` or none; how many were new. One that is there already (user, item, type, time) is left as it is."""
        columns = [[event[place] for event in events] for place in range(len(Event._fields))]
        return await self._write(ADD, columns)

    async def erase(self, user_id: str) -> int:
        """Removes every event of the user; how many there were. Vacuum frees their place; until then dead rows are in the files."""
        return await self._write(ERASE, [user_id])

    async def _write(self, statement: str, values: Sequence[Any]) -> int:
        """What `statement` counts, when it is this writer's turn."""

        async def write(connection: Connection) -> int:
            async with connection.cursor(row_factory=tuple_row) as cursor:
                # One implicit transaction, whose end is sent before any answer is read: a gateway that dies meanwhile keeps no turn.
                async with connection.pipeline():
                    await connection.execute(TURN)
                    await cursor.execute(statement.encode(), values)
                ((count,),) = await cursor.fetchall()
            return int(count)

        try:
            async with asyncio.timeout(CALL_S):
                await self._writers.acquire()
        except TimeoutError:
            raise ProfilesUnavailable("Too many writes wait for the store of events; nothing was stored or erased, try again.") from None
        try:
            return await self._connections.run(write)
        finally:
            self._writers.release()

    async def taste(self, user_id: str) -> Taste:
        """What the newest 2,000 events say of the user; an empty taste for an unknown one."""
        return await self._connections.run(lambda connection: self._taste(connection, user_id))

    async def _taste(self, connection: Connection, user_id: str) -> Taste:
        return taste_of(await _rows(connection, TASTE, (user_id, READ_DEEDS)), self._liked_rating)

    async def record(self, user_id: str) -> Record | None:
        """What is stored of the user; None when nothing is."""

        async def read(connection: Connection) -> Record | None:
            (count,) = await _row(connection, "SELECT count(*) FROM warmstart.events WHERE user_id = %s", (user_id,))
            rows = await _rows(connection, EVENTS, (user_id, SHOWN_EVENTS))
            return Record(tuple(Event(*row) for row in rows), count, (await self._taste(connection, user_id)).liked) if count else None

        return await self._connections.run(read)

    async def page(self, cursor: str | None, limit: int) -> Page:
        """Up to `limit` events in the order of their storage; raises `CursorInvalid`."""
        after = seq_of(cursor)
        events, last, count = await self._connections.run(lambda connection: _row(connection, PAGE, (after, limit)))
        return Page(events.encode(), cursor_after(last) if count == limit else None)

    async def total(self) -> int:
        """How many events are stored."""
        (events,) = await self._connections.run(lambda connection: _row(connection, "SELECT events FROM warmstart.totals"))
        return int(events)

    async def check(self) -> None:
        """Returns when the store can be read and takes writes; changes nothing, and takes half a second at most."""
        statement = "SELECT current_setting('transaction_read_only') FROM warmstart.totals"
        (read_only,) = await self._connections.run(lambda connection: _row(connection, statement), CHECK_S)
        if read_only == "on":
            raise ProfilesUnavailable("The store of events is read-only; connect to the primary.")


async def _rows(connection: Connection, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    async with connection.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(statement.encode(), values)
        return await cursor.fetchall()


async def _row(connection: Connection, statement: str, values: Sequence[Any] = ()) -> tuple[Any, ...]:
    """The one row that `statement` gives."""
    (row,) = await _rows(connection, statement, values)
    return row
