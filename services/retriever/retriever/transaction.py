"""The writing SQL: what one transaction can do to the catalogue. Knows nothing of when it begins and ends, nor of the index.

`finish` raises the generation. Numbers of items and versions of vectors come from SQLite's AUTOINCREMENT counters, so they are never
given twice, whatever was deleted.
"""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain

import numpy as np
from pydantic_core import to_json

from retriever.centre import Centre
from retriever.items import Bools, Floats, Item, Rows
from retriever.spaces import POPULAR, Scores, Upload
from retriever.words import authors_of

VALUES_AT_ONCE = 3_000
"""Of 1,000 rows of words and 500 of items, written by one statement; SQLite takes up to 32,766. Rows that are left are written singly."""
AMONG = "IN (SELECT value FROM json_each(?))"


@dataclass(frozen=True)
class Kept:
    """What became of vectors: `versions` `(n,)`, and `written` `(n,)` where the vector is another than before.

    `replaced` has the numbers and versions of the vectors that are gone.
    """

    versions: Rows
    written: Bools
    replaced: tuple[Rows, Rows]


class Transaction:
    """The generation that is being written is `generation`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._sql = connection
        self.generation = int(connection.execute("SELECT generation FROM meta").fetchone()[0]) + 1

    def finish(self) -> None:
        self._sql.execute("UPDATE meta SET generation = ?", (self.generation,))

    def create_space(self, name: str, fingerprint: str, dimension: int, kind: str, created: int | None = None) -> int:
        """The number of the new vector space; `created` is the generation that made it, if not this one."""
        values = (name, fingerprint, dimension, kind, self.generation if created is None else created)
        made = self._sql.execute("INSERT INTO vector_spaces (name, fingerprint, dimension, kind, created) VALUES (?, ?, ?, ?, ?)", values)
        self._tell("space", name)
        return int(made.lastrowid or 0)

    def drop_space(self, space: int, name: str) -> None:
        self._sql.execute("DELETE FROM vectors WHERE space = ?", (space,))
        self._sql.execute("DELETE FROM vector_spaces WHERE space = ?", (space,))
        self._sql.execute("DELETE FROM merging WHERE space = ?", (space,))
        self._sql.execute("UPDATE meta SET previous = NULL WHERE previous = ?", (space,))
        self._tell("dropped", name)

    def cut_over(self, space: int, name: str) -> None:
        """Gives the role `content` to `space`."""
        self._sql.execute("UPDATE meta SET previous = content, content = ? WHERE content IS NOT ?", (space, space))
        self._tell("role", name)

    def give_roles(self, content: int | None, previous: int | None) -> None:
        """Sets which spaces play the role `content` now and did before."""
        self._sql.execute("UPDATE meta SET content = ?, previous = ?", (content, previous))

    def forget_news(self) -> None:
        """Forgets what followers were to be told."""
        self._sql.execute("DELETE FROM news")

    def put_items(self, items: Sequence[Item]) -> tuple[Rows, Bools]:
        """Adds or replaces `items`, whose ids differ; their numbers `(items,)` and which are new."""
        numbers = self.numbers([item.id for item in items])
        new = numbers < 0
        first = self._next("items")
        numbers[new] = np.arange(first, first + int(new.sum()))
        numbered = list(zip(numbers.tolist(), items, strict=True))
        if not new.all():
            self._update([pair for pair, is_new in zip(numbered, new.tolist(), strict=True) if not is_new])
            numbered = [pair for pair, is_new in zip(numbered, new.tolist(), strict=True) if is_new]
        rows = [(number, item.id, item.title, _json(item), item.text, self.generation) for number, item in numbered]
        self._insert("items (number, id, title, attributes, text, changed)", rows)
        self._write_words(numbered)
        return numbers, new

    def put_vectors(self, space: int, numbers: Rows, embeddings: Floats, *, new: bool = False) -> Kept:
        """Writes the vectors `(n, dim)` of the items `numbers`, which differ; one that is stored already keeps its version.

        `new` items have none yet, so that none is looked for.
        """
        sent = np.ascontiguousarray(embeddings, "<f4")
        known = {} if new else self._vectors_of(space, numbers)
        versions, written = np.zeros(len(numbers), np.int64), np.ones(len(numbers), np.bool_)
        old_numbers, old_versions = [], []
        for place, number in enumerate(numbers.tolist()) if known else ():
            if (before := known.get(number)) is None:
                continue
            if before[1] == sent[place].tobytes():
                versions[place], written[place] = before[0], False
            else:
                old_numbers.append(number)
                old_versions.append(before[0])
        replaced = (np.array(old_numbers, np.int64), np.array(old_versions, np.int64))
        if old_versions:
            self._sql.execute(f"DELETE FROM vectors WHERE version {AMONG}", (json.dumps(old_versions),))  # noqa: S608
        first = self.next_version()
        versions[written] = np.arange(first, first + int(written.sum()))
        parts = {"first": first, "space": space, "bytes": 4 * sent.shape[1], "numbers": json.dumps(numbers[written].tolist())}
        # one statement over one array, in which SQLite needs no Python object a row, nor the interpreter
        self._sql.execute(
            """INSERT INTO vectors (version, space, number, embedding)
            SELECT :first + key, :space, value, substr(:embeddings, :bytes * key + 1, :bytes) FROM json_each(:numbers)""",
            {**parts, "embeddings": (sent if written.all() else sent[written]).tobytes()},
        )
        return Kept(versions, written, replaced)

    def patch(self, numbers: Rows, items: Sequence[Item]) -> None:
        """Writes title, attributes and text of the items `numbers` anew; vectors stay."""
        self._update(list(zip(numbers.tolist(), items, strict=True)))

    def delete(self, numbers: Rows, ids: Sequence[str]) -> Mapping[int, tuple[Rows, Rows]]:
        """Removes the items `numbers`; by space the numbers and versions of their vectors."""
        gone = self._remove_vectors(numbers.tolist())
        self._forget_words(numbers.tolist())
        self._sql.execute(f"DELETE FROM items WHERE number {AMONG}", (json.dumps(numbers.tolist()),))  # noqa: S608
        for name in ids:
            self._tell("deleted", name)
        return gone

    def replace_space(self, name: str, upload: Upload) -> None:
        """Puts `upload` in the place of the whole uploaded space."""
        self._sql.execute("REPLACE INTO spaces VALUES (?, ?, ?)", (name, upload.kind, upload.to_bytes()))
        if name == POPULAR:
            self._sql.execute("DELETE FROM popularity")
            scores = upload.content.scores.tolist() if isinstance(upload.content, Scores) else []
            self._sql.executemany("INSERT INTO popularity VALUES (?, ?)", zip(upload.ids, scores, strict=True))
        self._tell("upload", name)

    def keep_centre(self, centre: Centre) -> None:
        self._sql.execute("REPLACE INTO centre VALUES (1, ?, ?)", (centre.mean.astype("<f8").tobytes(), centre.items))

    def numbers(self, ids: Sequence[str]) -> Rows:
        """The number of each of `ids`, -1 where no item has it."""
        rows = self._sql.execute(f"SELECT id, number FROM items WHERE id {AMONG}", (json.dumps(list(ids)),))  # noqa: S608
        number_of = dict(rows.fetchall())
        return np.fromiter((number_of.get(name, -1) for name in ids), np.int64, len(ids))

    def next_version(self) -> int:
        """What the next vector that is written will have."""
        return self._next("vectors")

    def _remove_vectors(self, numbers: Sequence[int]) -> dict[int, tuple[Rows, Rows]]:
        rows = self._sql.execute(
            f"SELECT space, number, version FROM vector_spaces JOIN vectors USING (space) WHERE number {AMONG}",  # noqa: S608
            (json.dumps(list(numbers)),),
        ).fetchall()
        self._sql.execute(f"DELETE FROM vectors WHERE version {AMONG}", (json.dumps([row[2] for row in rows]),))  # noqa: S608
        table = np.array(rows, np.int64).reshape(-1, 3)
        return {int(space): (table[table[:, 0] == space, 1], table[table[:, 0] == space, 2]) for space in np.unique(table[:, 0])}

    def _vectors_of(self, space: int, numbers: Rows) -> dict[int, tuple[int, bytes]]:
        """By number the version and the embedding of those of `numbers` that have a vector in the space."""
        select = f"SELECT number, version, embedding FROM vectors WHERE space = ? AND number {AMONG}"  # noqa: S608
        rows = self._sql.execute(select, (space, json.dumps(numbers.tolist())))
        return {number: (version, embedding) for number, version, embedding in rows}

    def _update(self, numbered: Sequence[tuple[int, Item]]) -> None:
        self._forget_words([number for number, _ in numbered])
        self._sql.executemany(
            "UPDATE items SET title = ?, attributes = ?, text = ?, changed = ? WHERE number = ?",
            [(item.title, _json(item), item.text, self.generation, number) for number, item in numbered],
        )
        self._write_words(numbered)

    def _insert(self, into: str, rows: Sequence[tuple[object, ...]]) -> None:
        """Many rows a statement: Python lets go of the interpreter in each, and with one a row would wait for it as often."""
        columns = len(rows[0]) if rows else 1
        at_once = VALUES_AT_ONCE // columns
        whole = len(rows) - len(rows) % at_once
        for start in range(0, whole, at_once):
            self._sql.execute(_insertion(into, at_once, columns), list(chain.from_iterable(rows[start : start + at_once])))
        if whole < len(rows):
            self._sql.executemany(_insertion(into, 1, columns), rows[whole:])

    def _forget_words(self, numbers: Sequence[int]) -> None:
        self._sql.execute(f"DELETE FROM words WHERE rowid {AMONG}", (json.dumps(list(numbers)),))  # noqa: S608

    def _write_words(self, numbered: Sequence[tuple[int, Item]]) -> None:
        self._insert("words (rowid, title, authors)", [(number, item.title, authors_of(item.attributes)) for number, item in numbered])

    def _next(self, table: str) -> int:
        row = self._sql.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
        return (row[0] if row else 0) + 1

    def _tell(self, what: str, name: str) -> None:
        self._sql.execute("INSERT INTO news VALUES (?, ?, ?)", (self.generation, what, name))


@cache
def _insertion(into: str, rows: int, columns: int) -> str:
    values = f"({', '.join('?' * columns)})"
    return f"INSERT INTO {into} VALUES {', '.join([values] * rows)}"  # noqa: S608


def _json(item: Item) -> str:
    return to_json(item.attributes).decode()
