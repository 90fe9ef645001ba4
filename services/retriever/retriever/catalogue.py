"""The items, vectors and uploaded spaces in SQLite: the log and the truth. Knows nothing of the index that is derived from it.

A write is in the file system when its transaction ends (write-ahead log; with `fsync` also on the disk), so it survives kill -9, and with
`fsync` loss of power. One connection writes, used by one thread at a time; reads take one from a pool and see the last committed state.
"""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, SimpleQueue

import numpy as np

from retriever import schema
from retriever.centre import NOWHERE, Centre
from retriever.errors import StorageFailed
from retriever.identity import Identity, Meta
from retriever.items import AttributeValue, Floats, Item, Rows
from retriever.spaces import Upload
from retriever.transaction import Transaction
from retriever.words import every_word, in_title

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
PORTION = 8_192
"""Rows read at once."""
PAGES_PER_CHECKPOINT = 1_000
"""Of 8 KiB in the write-ahead log before they are copied into the file: some milliseconds of one write."""


class Catalogue:
    """All that the retriever stores, in one file. Raises StorageFailed when SQLite can not."""

    def __init__(self, path: Path, *, fsync: bool = True) -> None:
        self.path = path
        self._readers: SimpleQueue[sqlite3.Connection] = SimpleQueue()
        with _explained("opened"):
            self._writer = schema.connect(path)
        try:
            with _explained("opened"):
                self._writer.execute(f"PRAGMA synchronous = {'FULL' if fsync else 'NORMAL'}")
                self._writer.execute(f"PRAGMA wal_autocheckpoint = {PAGES_PER_CHECKPOINT}")
                schema.prepare(self._writer, path)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        with suppress(Empty):
            while True:
                self._readers.get_nowait().close()
        self._writer.close()

    @contextmanager
    def writing(self) -> Iterator[Transaction]:
        """One write: all that is done inside is committed at the end as the next generation or, on any error, not at all."""
        with _explained("written"):
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                transaction = Transaction(self._writer)
                yield transaction
                transaction.finish()
                self._writer.execute("COMMIT")
            finally:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")

    def ask_merge(self, space: int) -> None:
        """Notes that a vector space is to become one segment, whatever happens before it is; no write of the catalogue's items."""
        with _explained("written"):
            self._writer.execute("INSERT OR IGNORE INTO merging VALUES (?)", (space,))

    def merged(self, space: int) -> None:
        """Forgets it again."""
        with _explained("written"):
            self._writer.execute("DELETE FROM merging WHERE space = ?", (space,))

    def merging(self) -> frozenset[int]:
        """The vector spaces that are still to become one segment each."""
        with self.reading() as reader:
            return frozenset(space for (space,) in reader.execute("SELECT space FROM merging JOIN vector_spaces USING (space)"))

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection for reading only, from the pool."""
        with _explained("read"):
            try:
                reader = self._readers.get_nowait()
            except Empty:
                reader = schema.connect(self.path)
            try:
                yield reader
            finally:
                self._readers.put(reader)

    def meta(self) -> Meta:
        with self.reading() as reader:
            return Meta(*reader.execute("SELECT generation, content, previous FROM meta").fetchone())

    def vector_spaces(self) -> list[Identity]:
        """In the order of their making."""
        with self.reading() as reader:
            rows = reader.execute("SELECT space, name, fingerprint, dimension, kind, created FROM vector_spaces ORDER BY space")
            return [Identity(*row) for row in rows]

    def item(self, name: str) -> Item | None:
        with self.reading() as reader:
            row = reader.execute("SELECT id, title, attributes, text FROM items WHERE id = ?", (name,)).fetchone()
        return _item(*row) if row else None

    def verify(self) -> None:
        """Reads the whole file; raises StorageFailed when its structure is damaged. SQLite has no checksums: other content looks sound."""
        with self.reading() as reader:
            told = [str(row[0]) for row in reader.execute("PRAGMA quick_check(3)")]
            reader.execute("PRAGMA shrink_memory")  # else its cache stays full of what nobody asks for
        if told != ["ok"]:
            raise damaged("; ".join(told))

    def count(self) -> int:
        with self.reading() as reader:
            return int(reader.execute("SELECT count(*) FROM items").fetchone()[0])

    def after(self, name: str, limit: int) -> list[Item]:
        """The next `limit` items in the order of their ids (by code point)."""
        with self.reading() as reader:
            rows = reader.execute("SELECT id, title, attributes, text FROM items WHERE id > ? ORDER BY id LIMIT ?", (name, limit))
            return [_item(*row) for row in rows]

    def find(self, typed: str, offset: int, limit: int) -> list[Item]:
        """Items that have every typed word, the last letters of each may be missing, in title or authors.

        First the title that is what was typed, then titles that have every word, then the rest; in each the more popular item, then the
        better match (BM25), then the smaller id.
        """
        if not (every := every_word(typed)):
            return []
        with self.reading() as reader:
            asked = {"typed": typed, "every_word": every, "in_title": in_title(every), "offset": offset, "limit": limit}
            return [_item(*row) for row in reader.execute(FIND, asked)]

    def numbers(self, ids: Sequence[str]) -> Rows:
        """The number of each of `ids`, -1 where no item has it."""
        with self.reading() as reader:
            rows = reader.execute("SELECT id, number FROM items WHERE id IN (SELECT value FROM json_each(?))", (json.dumps(list(ids)),))
            number_of = dict(rows.fetchall())
        return np.fromiter((number_of.get(name, -1) for name in ids), np.int64, len(ids))

    def at(self, numbers: Sequence[int]) -> dict[int, Item]:
        """The items of these numbers that are there, without their texts."""
        with self.reading() as reader:
            asked = (json.dumps(list(numbers)),)
            rows = reader.execute(
                "SELECT number, id, title, attributes FROM items WHERE number IN (SELECT value FROM json_each(?))", asked
            ).fetchall()
        return {number: _item(name, title, attributes, None) for number, name, title, attributes in rows}

    def ids(self, portion: int) -> Iterator[tuple[Rows, list[str]]]:
        """The numbers of all items, ascending, and their ids, so many at once."""
        with self.reading() as reader:
            (last,) = reader.execute("SELECT max(seq) FROM sqlite_sequence WHERE name = 'items'").fetchone()
            cursor = reader.execute("SELECT number, id FROM items ORDER BY number")
            while rows := cursor.fetchmany(portion):
                if not 0 < rows[-1][0] <= (last or 0):  # an array as long as that may not fit any memory
                    raise damaged(f"item number {rows[-1][0]} was never given, the last one is {last}")
                yield _column(rows, 0), [row[1] for row in rows]
            reader.execute("PRAGMA shrink_memory")

    def all_ids(self) -> tuple[Rows, list[str]]:
        """The numbers of all items, ascending, and their ids."""
        with self.reading() as reader:
            rows = reader.execute("SELECT number, id FROM items ORDER BY number").fetchall()
        return _column(rows, 0), [row[1] for row in rows]

    def changed_since(self, generation: int, portion: int) -> Iterator[list[tuple[int, dict[str, AttributeValue]]]]:
        """Number and attributes of the items that were written after `generation`, so many at once."""
        with self.reading() as reader:
            cursor = reader.execute("SELECT number, attributes FROM items WHERE changed > ? ORDER BY number", (generation,))
            while rows := cursor.fetchmany(portion):
                yield [(number, attributes_from(text)) for number, text in rows]

    def versions(self, space: int) -> tuple[Rows, Rows]:
        """Versions, ascending, and item numbers of all vectors of a space."""
        with self.reading() as reader:
            cursor, portions = reader.execute("SELECT version, number FROM vectors WHERE space = ? ORDER BY number", (space,)), []
            while rows := cursor.fetchmany(PORTION):  # a million pairs at once would leave the heap larger for ever
                portions.append(np.array(rows, np.int64))
            reader.execute("PRAGMA shrink_memory")
        versions, numbers = np.concatenate([np.empty((0, 2), np.int64), *portions]).T
        order = np.argsort(versions)
        return versions[order], numbers[order]

    def vectors(self, versions: Sequence[int], dimension: int) -> Floats:
        """The embeddings of these versions `(versions, dimension)`, which must be there, in their order."""
        with self.reading() as reader:
            asked = (json.dumps(list(versions)),)
            read = reader.execute("SELECT version, embedding FROM vectors WHERE version IN (SELECT value FROM json_each(?))", asked)
            of = dict(read.fetchall())
        return np.frombuffer(b"".join(of[version] for version in versions), "<f4").astype(np.float32).reshape(-1, dimension)

    def next_version(self) -> int:
        """What the next vector that is written will have."""
        with self.reading() as reader:
            row = reader.execute("SELECT seq FROM sqlite_sequence WHERE name = 'vectors'").fetchone()
        return (row[0] if row else 0) + 1

    def centre(self) -> Centre:
        """Where items were last seen from, kept so that a restart changes no answer; NOWHERE before the first item."""
        with self.reading() as reader:
            row = reader.execute("SELECT mean, items FROM centre").fetchone()
        return Centre(np.frombuffer(row[0], "<f8").astype(np.float64), row[1]) if row else NOWHERE

    def spaces(self) -> dict[str, Upload]:
        """The uploaded spaces by name."""
        with self.reading() as reader:
            return {name: Upload.from_bytes(kind, arrays) for name, kind, arrays in reader.execute("SELECT name, kind, arrays FROM spaces")}


@contextmanager
def _explained(done: str) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, UnicodeDecodeError) as error:  # a damaged schema may not even be text
        raise StorageFailed(f"The catalogue could not be {done} ({error}); nothing was changed. Check the disk of state_dir.") from error


def attributes_from(text: str) -> dict[str, AttributeValue]:
    """The attributes as the domain has them; lists are tuples."""
    try:
        return {key: tuple(value) if isinstance(value, list) else value for key, value in json.loads(text).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise damaged(f"{text!r:.80} are no attributes") from error


def damaged(reason: str) -> StorageFailed:
    """The error for a file whose content can not be what was written."""
    return StorageFailed(f"The catalogue is damaged ({reason}); restore a snapshot, or fill an empty state_dir. Check the disk.")


def _item(name: str, title: str, attributes: str, text: str | None) -> Item:
    return Item(name, title, attributes_from(attributes), text)


def _column(rows: list[tuple[int, ...]], place: int) -> Rows:
    return np.fromiter((row[place] for row in rows), np.int64, len(rows))
