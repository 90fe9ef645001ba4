"""Expansions in one SQLite file of this process. Knows nothing of who made them.

One thread writes and one reads, so the event loop waits for no disk. What was put survives kill -9; after a loss of power the last
entries may be missing, which costs latency. An erasure is on the disk when it returns, and nothing that it removed is left in the file.
"""

import asyncio
import hashlib
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from expander.backends.packing import packed, unpacked
from expander.entries import PERSONAL_TTL_S, Entry
from expander.errors import StoreUnavailable
from expander.metrics import ExpanderMetrics
from servicekit import logs

LOG = logs.get(__name__)

VERSION = 2
"""Of the tables. A file of any other is replaced: the keys of version 1 stand for nothing today."""
SCHEMA = f"""
CREATE TABLE IF NOT EXISTS expansions (key TEXT PRIMARY KEY, made_at REAL NOT NULL, entry TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS expansions_by_age ON expansions (made_at);
CREATE TABLE IF NOT EXISTS owners (owner TEXT NOT NULL, key TEXT NOT NULL, PRIMARY KEY (owner, key)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS owners_by_key ON owners (key);
PRAGMA user_version = {VERSION};
"""
BUSY_S = 5.0
Value = TypeVar("Value")


class SqliteStore:
    """At most `size` entries in the file `path`; the oldest leave first. A file that is damaged or no store is replaced by an empty one."""

    shared = False

    def __init__(self, path: Path, size: int, metrics: ExpanderMetrics) -> None:
        self._path, self._size, self._failures = path, size, metrics.cache.store_failures
        self._writing, self._reading = ThreadPoolExecutor(1, "expansions-writer"), ThreadPoolExecutor(1, "expansions-reader")
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        self._rows = self._files = self._read_from = 0
        self._opened = self._writing.submit(self._open)

    async def get(self, key: str) -> Entry | None:
        """The entry, of any age; None also where it can not be read."""

        def read() -> str | None:
            self._opened.result()
            self._reader = self._reading_from()
            row = self._reader.execute("SELECT entry FROM expansions WHERE key = ?", (key,)).fetchone()
            return row[0] if row else None

        try:
            text = await self._in(self._reading, read)
        except sqlite3.Error as error:
            self._fail("get", error)
            return None
        if text is not None and (entry := unpacked(text)) is None:
            self._note("get", "unreadable", f"the value of {key} is no expansion")
            return None
        return entry if text is not None else None

    async def put(self, key: str, entry: Entry, user_id: str | None, took_s: float = 0.0) -> None:
        """Keeps `entry`; returns when it is in the file, or has been given up and logged, as on a full disk."""
        try:
            await self._in(self._writing, lambda: self._put(self._connection(), key, entry, user_id))
        except sqlite3.Error as error:
            self._fail("put", error)

    async def erase(self, user_id: str) -> Sequence[str]:
        """Removes every entry that was put for `user_id`; their keys. Raises `StoreUnavailable`."""
        try:
            return await self._in(self._writing, lambda: self._erase(self._connection(), user_id))
        except sqlite3.Error as error:
            self._fail("erase", error)
            raise StoreUnavailable(f"The file of expansions failed: {error}. Nothing is known to be erased; ask again.") from error

    async def lease(self, key: str, seconds: float) -> bool:
        """Always True: the file is this process's own."""
        return True

    async def release(self, key: str) -> None:
        """Nothing to end."""

    async def close(self) -> None:
        """Finishes what is being written and closes the file."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        for threads in (self._reading, self._writing):
            threads.shutdown()
        for connection in (self._reader, self._writer):
            if connection is not None:
                connection.close()

    async def _in(self, threads: ThreadPoolExecutor, work: Callable[[], Value]) -> Value:
        return await asyncio.get_running_loop().run_in_executor(threads, work)

    def _note(self, operation: str, reason: str, said: str) -> None:
        self._failures.labels(operation, reason).inc()
        LOG.warning("expansion_store_failed", operation=operation, reason=said)

    def _fail(self, operation: str, error: sqlite3.Error) -> None:
        self._note(operation, "refused", str(error))
        if not isinstance(error, sqlite3.OperationalError):  # the file was damaged while it was open
            self._writing.submit(self._open)

    def _open(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        try:
            self._writer = _opened(self._path)
            (self._rows,) = self._writer.execute("SELECT count(*) FROM expansions").fetchone()
            self._files += 1
        except (sqlite3.Error, OSError) as error:  # tried again with the next write; until then there is no store
            self._note("open", "refused", f"{self._path}: {error}")

    def _connection(self) -> sqlite3.Connection:
        if self._writer is None:
            self._open()
        if self._writer is None:
            raise sqlite3.OperationalError(f"{self._path} can not be opened")
        return self._writer

    def _reading_from(self) -> sqlite3.Connection:
        """The reader's connection, a new one where the file is one."""
        if self._reader is None or self._read_from != self._files:
            if self._reader is not None:
                self._reader.close()
            self._reader, self._read_from = _connected(self._path), self._files
        return self._reader

    def _put(self, file: sqlite3.Connection, key: str, entry: Entry, user_id: str | None) -> None:
        with file:
            (known,) = file.execute("SELECT count(*) FROM expansions WHERE key = ?", (key,)).fetchone()
            file.execute("INSERT OR REPLACE INTO expansions VALUES (?, ?, ?)", (key, entry.made_at, packed(entry)))
            if user_id is not None:
                file.execute("INSERT OR IGNORE INTO owners VALUES (?, ?)", (_hash(user_id), key))
            rows = self._rows + 1 - known - _expire(file, entry.made_at - PERSONAL_TTL_S)
            if rows > self._size:
                oldest = "SELECT key FROM expansions ORDER BY made_at LIMIT ?"
                _remove(file, [found for (found,) in file.execute(oldest, (rows - self._size,))])
        self._rows = min(rows, self._size)

    def _erase(self, file: sqlite3.Connection, user_id: str) -> list[str]:
        with file:
            keys = [key for (key,) in file.execute("SELECT key FROM owners WHERE owner = ?", (_hash(user_id),))]
            _remove(file, keys)
        self._rows = file.execute("SELECT count(*) FROM expansions").fetchone()[0]
        if file.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
            raise sqlite3.OperationalError("the log still holds what was removed, for something else reads the file")
        return keys


def _expire(file: sqlite3.Connection, made_before: float) -> int:
    """Removes what users own and was made before then, in seconds since the epoch; how many entries that were."""
    owned = "SELECT DISTINCT key FROM expansions JOIN owners USING (key) WHERE made_at < ?"
    old = [key for (key,) in file.execute(owned, (made_before,))]
    _remove(file, old)
    return len(old)


def _remove(file: sqlite3.Connection, keys: list[str]) -> None:
    for table in ("expansions", "owners"):
        file.executemany(f"DELETE FROM {table} WHERE key = ?", [(key,) for key in keys])  # noqa: S608  # names of our own


def _hash(user_id: str) -> str:
    return hashlib.sha256(user_id.encode("utf-8", "surrogatepass")).hexdigest()


def _opened(path: Path) -> sqlite3.Connection:
    """The writer's connection to a sound file; one that is damaged, of another version or no store at all is replaced by an empty one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return _sound(path)
    except sqlite3.OperationalError:
        raise  # it could not be looked at, which says nothing against it
    except sqlite3.DatabaseError as error:
        LOG.warning("expansion_store_replaced", path=str(path), reason=str(error))
    for suffix in ("", "-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    return _sound(path)


def _sound(path: Path) -> sqlite3.Connection:
    file = _connected(path)
    try:
        (version,) = file.execute("PRAGMA user_version").fetchone()
        (tables,) = file.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if tables and version != VERSION:
            raise sqlite3.DatabaseError(f"its tables are of version {version}, not {VERSION}")
        file.executescript(SCHEMA)
        if (found := file.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise sqlite3.DatabaseError(found)
    except sqlite3.DatabaseError:
        file.close()
        raise
    return file


def _connected(path: Path) -> sqlite3.Connection:
    file = sqlite3.connect(path, timeout=BUSY_S, check_same_thread=False)
    try:
        file.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA secure_delete = ON;")
    except sqlite3.DatabaseError:
        file.close()
        raise
    return file
