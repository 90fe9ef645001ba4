"""Keeps the LLM's expansions: bounded, in memory and in one SQLite file. Knows nothing of who made them.

All entries are in memory, the file only brings them back after a restart: losing it costs latency, never correctness.
"""

import asyncio
import json
import sqlite3
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from servicekit import logs

LOG = logs.get(__name__)
_SCHEMA = "CREATE TABLE IF NOT EXISTS expansions (key TEXT PRIMARY KEY, topics TEXT NOT NULL, stored_at REAL NOT NULL) WITHOUT ROWID"


def key_of(interest: str, most: int, prompt_version: str, model: str) -> str:
    """What makes two expansions the same; `interest` in its normalised form."""
    return json.dumps([interest, most, prompt_version, model], ensure_ascii=False)


@dataclass(frozen=True)
class Entry:
    """Topics as stored, and when (seconds since the epoch)."""

    topics: tuple[str, ...]
    stored_at: float


class ExpansionCache:
    """At most `size` entries, the least recently used leave first; `clock` gives seconds since the epoch."""

    def __init__(self, path: Path, size: int, ttl_s: float, clock: Callable[[], float] = time.time) -> None:
        self._size, self._ttl_s, self._clock = size, ttl_s, clock
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._writer = ThreadPoolExecutor(1, "expansion-cache")
        self._file = _opened(path)
        self._read_all()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str) -> Entry | None:
        """The entry of `key`, of any age; see `is_fresh`."""
        if entry := self._entries.get(key):
            self._entries.move_to_end(key)
        return entry

    def is_fresh(self, entry: Entry) -> bool:
        """Whether the entry is younger than the time to live."""
        return self._clock() - entry.stored_at < self._ttl_s

    async def put(self, key: str, topics: tuple[str, ...]) -> None:
        """Stores `topics`, and returns when they are in the file."""
        entry = self._entries[key] = Entry(topics, self._clock())
        self._entries.move_to_end(key)
        dropped = [self._entries.popitem(last=False)[0] for _ in range(len(self._entries) - self._size)]
        await asyncio.get_running_loop().run_in_executor(self._writer, self._write, key, entry, dropped)

    def close(self) -> None:
        """Finishes what is being written and closes the file."""
        self._writer.shutdown(wait=True)
        self._file.close()

    def _write(self, key: str, entry: Entry, dropped: list[str]) -> None:
        try:
            with self._file:
                row = (key, json.dumps(entry.topics), entry.stored_at)
                self._file.execute("INSERT OR REPLACE INTO expansions VALUES (?, ?, ?)", row)
                self._file.executemany("DELETE FROM expansions WHERE key = ?", [(each,) for each in dropped])
        except sqlite3.Error as error:  # a full disk costs the entry after the next restart, not this answer
            LOG.warning("expansion_not_stored", reason=str(error))

    def _read_all(self) -> None:
        newest = "SELECT key, topics, stored_at FROM expansions ORDER BY stored_at DESC LIMIT ?"
        rows = self._file.execute(newest, (self._size,)).fetchall()
        for key, topics, stored_at in reversed(rows):
            self._entries[key] = Entry(tuple(json.loads(topics)), stored_at)
        with self._file:  # a smaller size than before leaves older rows behind
            oldest = rows[-1][2] if len(rows) == self._size else 0.0
            self._file.execute("DELETE FROM expansions WHERE stored_at < ?", (oldest,))


def _opened(path: Path) -> sqlite3.Connection:
    """The file's connection; a file that is no cache is replaced by an empty one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return _connected(path)
    except sqlite3.DatabaseError as error:
        LOG.warning("expansion_cache_replaced", path=str(path), reason=str(error))
        for suffix in ("", "-wal", "-shm"):
            Path(f"{path}{suffix}").unlink(missing_ok=True)
        return _connected(path)


def _connected(path: Path) -> sqlite3.Connection:
    file = sqlite3.connect(path, check_same_thread=False)
    try:
        file.execute("PRAGMA journal_mode=WAL")
        file.execute("PRAGMA synchronous=NORMAL")
        file.execute(_SCHEMA)
        if (found := file.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise sqlite3.DatabaseError(found)
        sound = (
            "SELECT count(*) FROM expansions WHERE typeof(stored_at) <> 'real' OR NOT json_valid(topics) OR json_type(topics) <> 'array'"
        )
        if file.execute(sound).fetchone()[0]:
            raise sqlite3.DatabaseError("it holds rows that are not expansions")
    except sqlite3.DatabaseError:
        file.close()
        raise
    return file
