"""Events in a SQLite file of this process. Knows nothing of the catalogue or of recommendations.

One writer thread keeps commits in order, so that a page of events never skips one that is committed later; readers use threads of
their own and never wait for the writer (SQLite's write-ahead log). A committed event survives kill -9 and power loss.
"""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from gateway.errors import ProfilesUnavailable
from gateway.evidence import Taste
from gateway.profiles import READ_DEEDS, SHOWN_EVENTS, Event, Page, Record, cursor_after, seq_of, taste_of
from servicekit import logs

LOG = logs.get(__name__)

BUSY_MS, TRUNCATE_BUSY_MS, TRUNCATE_PAUSE_S = 5_000, 50, 1.0
"""How long a write waits for another process, how long emptying the log waits for readers, and the pause before it is tried again."""
Value = TypeVar("Value")

SCHEMA = """
CREATE TABLE IF NOT EXISTS events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id TEXT NOT NULL, time_ms INTEGER NOT NULL, item_id TEXT NOT NULL, type TEXT NOT NULL, value REAL,
    UNIQUE (user_id, time_ms, item_id, type)
);
CREATE TABLE IF NOT EXISTS totals (events INTEGER NOT NULL);
INSERT INTO totals SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM totals);
"""
PAGE = """
SELECT json_group_array(json_object('user_id', user_id, 'item_id', item_id, 'type', type, 'value', value,
           'time', strftime('%Y-%m-%dT%H:%M:%fZ', time_ms / 1000.0, 'unixepoch'))), max(seq), count(*)
FROM (SELECT * FROM events WHERE seq > ? ORDER BY seq LIMIT ?)
"""
NEWEST = "FROM events WHERE user_id = ? ORDER BY time_ms DESC, seq DESC LIMIT ?"


class SqliteProfiles:
    """The events in the SQLite file `path`. Every method raises `ProfilesUnavailable` when the store fails."""

    shared = False

    def __init__(self, path: Path, liked_rating: float) -> None:
        self._path, self._liked_rating = path, liked_rating
        self._writing = ThreadPoolExecutor(1, "profiles-writer")
        self._reading = ThreadPoolExecutor(4, "profiles-reader")
        self._local, self._opened = threading.local(), list[sqlite3.Connection]()
        self._truncating: asyncio.Task[None] | None = None
        self._writing.submit(lambda: self._connection().executescript(SCHEMA)).result()
        self._writing.submit(lambda: _truncated(self._connection())).result()  # a process that was killed may have left a log

    async def close(self) -> None:
        """Waits for what was begun; later calls fail."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        for threads in (self._writing, self._reading):
            threads.shutdown()
        for connection in self._opened:
            connection.close()

    def _connection(self) -> sqlite3.Connection:
        """This thread's own connection."""
        if not hasattr(self._local, "connection"):
            connection = sqlite3.connect(self._path, timeout=BUSY_MS / 1_000, isolation_level=None, check_same_thread=False)
            connection.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON;")
            self._local.connection = connection
            self._opened.append(connection)
        opened: sqlite3.Connection = self._local.connection
        return opened

    async def _in(self, threads: Executor, work: Callable[[sqlite3.Connection], Value]) -> Value:
        try:
            return await asyncio.get_running_loop().run_in_executor(threads, lambda: work(self._connection()))
        except (sqlite3.Error, RuntimeError) as error:
            raise ProfilesUnavailable(f"The store of events failed: {error}; nothing was stored or erased, try again.") from error

    async def add(self, events: Sequence[Event]) -> int:
        """Stores all of `events` or none; how many were new. One that is there already (user, item, type, time) is left as it is."""

        def store(connection: sqlite3.Connection) -> int:
            with _transaction(connection):
                before = connection.total_changes
                connection.executemany(
                    "INSERT OR IGNORE INTO events (user_id, time_ms, item_id, type, value) VALUES (?, ?, ?, ?, ?)", events
                )
                new = connection.total_changes - before
                connection.execute("UPDATE totals SET events = events + ?", (new,))
            return new

        return await self._in(self._writing, store)

    async def taste(self, user_id: str) -> Taste:
        """What the newest 2,000 events say of the user; an empty taste for an unknown one."""
        return await self._in(self._reading, lambda connection: self._taste(connection, user_id))

    def _taste(self, connection: sqlite3.Connection, user_id: str) -> Taste:
        rows = connection.execute(f"SELECT item_id, type, value {NEWEST}", (user_id, READ_DEEDS)).fetchall()
        return taste_of(rows, self._liked_rating)

    async def record(self, user_id: str) -> Record | None:
        """What is stored of the user; None when nothing is."""

        def read(connection: sqlite3.Connection) -> Record | None:
            (count,) = connection.execute("SELECT count(*) FROM events WHERE user_id = ?", (user_id,)).fetchone()
            if not count:
                return None
            columns = "user_id, time_ms, item_id, type, value"
            rows = connection.execute(f"SELECT {columns} {NEWEST}", (user_id, SHOWN_EVENTS)).fetchall()
            return Record(tuple(Event(*row) for row in rows), count, self._taste(connection, user_id).liked)

        return await self._in(self._reading, read)

    async def page(self, cursor: str | None, limit: int) -> Page:
        """Up to `limit` events in the order of their storage; raises `CursorInvalid`."""
        after = seq_of(cursor)

        def read(connection: sqlite3.Connection) -> Page:
            events, last, count = connection.execute(PAGE, (after, limit)).fetchone()
            return Page(events.encode(), cursor_after(last) if count == limit else None)

        return await self._in(self._reading, read)

    async def erase(self, user_id: str) -> int:
        """Removes every event of the user; how many there were.

        The write-ahead log, which still has them, is emptied at once, or as soon as no reader holds it.
        """

        def erase(connection: sqlite3.Connection) -> tuple[int, bool]:
            with _transaction(connection):
                gone = connection.execute("DELETE FROM events WHERE user_id = ?", (user_id,)).rowcount
                connection.execute("UPDATE totals SET events = events - ?", (gone,))
            return gone, _truncated(connection)

        gone, truncated = await self._in(self._writing, erase)
        if not truncated and (self._truncating is None or self._truncating.done()):
            LOG.info("log_held_by_reader", path=str(self._path))
            self._truncating = asyncio.create_task(self._truncate())
        return gone

    async def _truncate(self) -> None:
        with suppress(ProfilesUnavailable):  # closed, and the last one to close a file empties its log
            truncated = False
            while not truncated:
                await asyncio.sleep(TRUNCATE_PAUSE_S)
                truncated = await self._in(self._writing, _truncated)

    async def total(self) -> int:
        """How many events are stored."""
        (events,) = await self._in(self._reading, lambda connection: connection.execute("SELECT events FROM totals").fetchone())
        return int(events)

    async def check(self) -> None:
        """Returns when the store can be written; changes nothing."""

        def attempt(connection: sqlite3.Connection) -> None:
            connection.execute("BEGIN IMMEDIATE")
            try:
                connection.execute("UPDATE totals SET events = events")
            finally:
                connection.execute("ROLLBACK")

        await self._in(self._writing, attempt)


def _truncated(connection: sqlite3.Connection) -> bool:
    """Moves the write-ahead log into the file and empties it; False when a reader, or another process, holds it for now."""
    connection.execute(f"PRAGMA busy_timeout = {TRUNCATE_BUSY_MS}")
    try:
        busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.OperationalError as error:
        LOG.warning("log_not_truncated", error=str(error))
        return False
    finally:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
    return not busy


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing, begun as a writer, so that two processes on one file wait rather than fail."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
