"""The items and spaces in SQLite: the log and the truth. Knows nothing of the index that is derived from it.

A write is in the file system when its method returns (write-ahead log, synchronous=FULL), so it survives kill -9 and loss of power.
One connection writes, used by one thread at a time; reads take a connection from a pool and see the last committed state.
"""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue

import numpy as np

from retriever.centred import NOWHERE, Centre
from retriever.errors import StorageFailed
from retriever.items import Floats, Item
from retriever.spaces import POPULAR, Scores, Upload
from retriever.words import every_word, in_title

VERSION = 2
SCHEMA = f"""
CREATE TABLE identity (one INTEGER PRIMARY KEY CHECK (one = 1), fingerprint TEXT NOT NULL, dimension INTEGER NOT NULL);
CREATE TABLE centre (one INTEGER PRIMARY KEY CHECK (one = 1), mean BLOB NOT NULL, items INTEGER NOT NULL);
CREATE TABLE items (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, title TEXT NOT NULL, attributes TEXT NOT NULL, text TEXT, embedding BLOB NOT NULL
);
CREATE VIRTUAL TABLE words USING fts5(title, authors, prefix = '1 2 3', tokenize = 'unicode61 remove_diacritics 2');
CREATE TABLE spaces (name TEXT PRIMARY KEY, kind TEXT NOT NULL, arrays BLOB NOT NULL);
CREATE TABLE popularity (id TEXT PRIMARY KEY, score REAL NOT NULL) WITHOUT ROWID;
PRAGMA user_version = {VERSION};
"""
AUTHORS = "authors"
"""The attribute that search-as-you-type looks at besides the title."""
FIND = """
SELECT items.id, items.title, items.attributes, items.text
FROM words JOIN items ON items.number = words.rowid LEFT JOIN popularity ON popularity.id = items.id
WHERE words MATCH :every_word
ORDER BY
    items.title = :typed COLLATE NOCASE DESC,
    words.rowid IN (SELECT rowid FROM words WHERE words MATCH :in_title) DESC,
    popularity.score DESC,
    words.rank,
    items.id
LIMIT :limit OFFSET :offset
"""


@dataclass(frozen=True)
class Identity:
    """The content space's, fixed by the first write."""

    fingerprint: str
    dimension: int


class Catalogue:
    """All that the retriever stores, in one file. Raises StorageFailed when SQLite can not."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._readers: SimpleQueue[sqlite3.Connection] = SimpleQueue()
        with _explained("opened"):
            self._writer = self._connect()
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        with suppress(Empty):
            while True:
                self._readers.get_nowait().close()
        self._writer.close()

    def identity(self) -> Identity | None:
        """None before the first item."""
        with self._reading() as reader:
            row = reader.execute("SELECT fingerprint, dimension FROM identity").fetchone()
        return Identity(*row) if row else None

    def store(self, identity: Identity, items: Sequence[Item], embeddings: Floats, centre: Centre | None = None) -> None:
        """Adds or replaces `items` with their `embeddings` `(items, dim)`, and `centre` if it moved: all of it or, on an error, nothing."""
        with self._writing() as writer:
            writer.execute("INSERT OR IGNORE INTO identity VALUES (1, ?, ?)", (identity.fingerprint, identity.dimension))
            for item, embedding in zip(items, embeddings, strict=True):
                self._remove(item.id)
                row = (item.id, item.title, json.dumps(item.attributes, ensure_ascii=False), item.text, embedding.astype("<f4").tobytes())
                stored = writer.execute("INSERT INTO items (id, title, attributes, text, embedding) VALUES (?, ?, ?, ?, ?)", row)
                authors = item.attributes.get(AUTHORS, "")
                named = " ".join(authors) if isinstance(authors, tuple) else str(authors)
                writer.execute("INSERT INTO words (rowid, title, authors) VALUES (?, ?, ?)", (stored.lastrowid, item.title, named))
            self._keep(centre)

    def delete(self, name: str, centre: Centre | None = None) -> None:
        """Removes the item of this id, if it is there, and keeps `centre` if it moved."""
        with self._writing():
            self._remove(name)
            self._keep(centre)

    def item(self, name: str) -> Item | None:
        with self._reading() as reader:
            row = reader.execute("SELECT id, title, attributes, text FROM items WHERE id = ?", (name,)).fetchone()
        return _item(*row) if row else None

    def after(self, name: str, limit: int) -> list[Item]:
        """The next `limit` items in the order of their ids (by code point)."""
        with self._reading() as reader:
            rows = reader.execute("SELECT id, title, attributes, text FROM items WHERE id > ? ORDER BY id LIMIT ?", (name, limit))
            return [_item(*row) for row in rows]

    def find(self, typed: str, offset: int, limit: int) -> list[Item]:
        """Items that have every typed word, the last letters of each may be missing, in title or authors.

        First the title that is what was typed, then titles that have every word, then the rest; in each the more popular item, then the
        better match (BM25), then the smaller id.
        """
        if not (every := every_word(typed)):
            return []
        with self._reading() as reader:
            asked = {"typed": typed, "every_word": every, "in_title": in_title(every), "offset": offset, "limit": limit}
            return [_item(*row) for row in reader.execute(FIND, asked)]

    def all(self) -> tuple[list[Item], Floats]:
        """All items without their texts, oldest row first, and their embeddings `(items, dim)`."""
        with self._reading() as reader:
            rows = reader.execute("SELECT id, title, attributes, NULL, embedding FROM items ORDER BY number").fetchall()
        embeddings = np.frombuffer(b"".join(row[4] for row in rows), "<f4").astype(np.float32)
        return [_item(*row[:4]) for row in rows], embeddings.reshape(len(rows), -1) if rows else np.empty((0, 0), np.float32)

    def centre(self) -> Centre:
        """Where items were last seen from, kept so that a restart changes no answer; NOWHERE before the first item."""
        with self._reading() as reader:
            row = reader.execute("SELECT mean, items FROM centre").fetchone()
        return Centre(np.frombuffer(row[0], "<f8").astype(np.float64), row[1]) if row else NOWHERE

    def replace_space(self, name: str, upload: Upload) -> None:
        """Puts `upload` in the place of the whole space."""
        with self._writing() as writer:
            writer.execute("REPLACE INTO spaces VALUES (?, ?, ?)", (name, upload.kind, upload.to_bytes()))
            if name == POPULAR:
                writer.execute("DELETE FROM popularity")
                scores = upload.content.scores.tolist() if isinstance(upload.content, Scores) else []
                writer.executemany("INSERT INTO popularity VALUES (?, ?)", zip(upload.ids, scores, strict=True))

    def spaces(self) -> dict[str, Upload]:
        """The uploaded spaces by name."""
        with self._reading() as reader:
            return {name: Upload.from_bytes(kind, arrays) for name, kind, arrays in reader.execute("SELECT name, kind, arrays FROM spaces")}

    def _remove(self, name: str) -> None:
        self._writer.execute("DELETE FROM words WHERE rowid IN (SELECT number FROM items WHERE id = ?)", (name,))
        self._writer.execute("DELETE FROM items WHERE id = ?", (name,))

    def _keep(self, centre: Centre | None) -> None:
        if centre is not None:
            self._writer.execute("REPLACE INTO centre VALUES (1, ?, ?)", (centre.mean.astype("<f8").tobytes(), centre.items))

    def _prepare(self) -> None:
        with _explained("opened"):
            self._writer.execute("PRAGMA synchronous = FULL")
            version = self._writer.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            with self._writing():
                for statement in SCHEMA.split(";\n"):
                    self._writer.execute(statement)
        elif version != VERSION:
            raise StorageFailed(
                f"{self._path} has the layout {version}, this retriever reads {VERSION}; "
                "start the version that wrote it, or fill an empty state_dir."
            )

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=10, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with _explained("written"):
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            finally:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with _explained("read"):
            try:
                reader = self._readers.get_nowait()
            except Empty:
                reader = self._connect()
            try:
                yield reader
            finally:
                self._readers.put(reader)


@contextmanager
def _explained(done: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StorageFailed(f"The catalogue could not be {done} ({error}); nothing was changed. Check the disk of state_dir.") from error


def _item(name: str, title: str, attributes: str, text: str | None) -> Item:
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in json.loads(attributes).items()}
    return Item(name, title, values, text)
