"""What a writer tells its readers: every change of the catalogue after a generation, as one object. Knows nothing of who sends it where.

A change is derived from the catalogue's present state, never from memory, so what was not sent before a crash is sent after it. It names
the items and vectors that are other than at `since`, as they are at `generation`; applied twice, or to a state between the two, it gives
the same result. Items and spaces go by id and name: numbers and versions are each catalogue's own.

Format 1: the SHA-256 line of `storage.sealed`; a line of JSON, the header; then the sections that it lists, one behind the other.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from retriever.catalogue import attributes_from
from retriever.errors import Damaged, Foreign
from retriever.items import Floats, Item
from retriever.position import Position
from retriever.storage import sealed, unsealed

FORMAT = "warmstart-change-1"
FORGOTTEN = "forgotten"
"""What a line of news says of the generation up to which others were cleared away."""


@dataclass(frozen=True)
class SpaceRow:
    """A vector space as it is announced; `created` is the generation that made it."""

    name: str
    fingerprint: str
    dimension: int
    kind: str
    created: int


class ItemRow(NamedTuple):
    """An item as SQLite has it, `attributes` as JSON: a writer tells it without reading it."""

    id: str
    title: str
    attributes: str
    text: str | None

    def item(self) -> Item:
        return Item(self.id, self.title, attributes_from(self.attributes), self.text)


@dataclass(frozen=True, eq=False)
class Change:
    """To be applied in this order: spaces made and dropped, `deleted`, `items`, `vectors`, `uploads`, the role, the generation.

    `vectors` maps a space to ids and their new embeddings `(n, dim)`; `uploads` an uploaded space to its kind and bytes.
    `content` and `previous` are the spaces that play the role content now and did before.
    """

    since: int
    generation: int
    watermark: int
    spaces: Sequence[SpaceRow]
    content: str | None = None
    previous: str | None = None
    deleted: Sequence[str] = ()
    items: Sequence[ItemRow] = ()
    vectors: Mapping[str, tuple[Sequence[str], Floats]] = field(default_factory=dict)
    uploads: Mapping[str, tuple[str, bytes]] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Deletions, items and vectors: what it costs to apply."""
        return len(self.deleted) + len(self.items) + sum(len(ids) for ids, _ in self.vectors.values())


def generation_of(connection: sqlite3.Connection) -> int:
    """Of the last committed write."""
    return int(connection.execute("SELECT generation FROM meta").fetchone()[0])


def watermark_of(connection: sqlite3.Connection) -> int:
    """The last vector version that was given."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'vectors'").fetchone()
    return int(row[0]) if row else 0


def spaces_of(connection: sqlite3.Connection) -> dict[int, SpaceRow]:
    """The vector spaces by their numbers."""
    rows = connection.execute("SELECT space, name, fingerprint, dimension, kind, created FROM vector_spaces ORDER BY space")
    return {row[0]: SpaceRow(*row[1:]) for row in rows}


def roles_of(connection: sqlite3.Connection, spaces: Mapping[int, SpaceRow]) -> tuple[str | None, str | None]:
    """The names of the spaces that play the role content now and did before."""
    content, previous = connection.execute("SELECT content, previous FROM meta").fetchone()
    return (spaces[content].name if content in spaces else None), (spaces[previous].name if previous in spaces else None)


def forget(connection: sqlite3.Connection, generation: int) -> None:
    """Lets go of news up to `generation`, which readers were told; what cannot be told any more after that is noted with it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute("DELETE FROM news WHERE generation <= ?", (generation,))
        connection.execute("INSERT INTO news VALUES (?, ?, '')", (generation, FORGOTTEN))
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def changed(connection: sqlite3.Connection, since: Position, most: int) -> Change | None:
    """Everything after `since`, read in one transaction; None when that is more than `most` items or vectors, or was forgotten."""
    with _one_state(connection):
        if connection.execute("SELECT 1 FROM news WHERE generation > ? AND what = ?", (since.generation, FORGOTTEN)).fetchone():
            return None
        counted = connection.execute(
            "SELECT (SELECT count(*) FROM items WHERE changed > ?), (SELECT count(*) FROM vectors WHERE version > ?)",
            (since.generation, since.watermark),
        )
        if max(counted.fetchone()) > most:
            return None
        spaces = spaces_of(connection)
        content, previous = roles_of(connection, spaces)
        return Change(
            since=since.generation,
            generation=generation_of(connection),
            watermark=watermark_of(connection),
            spaces=tuple(spaces.values()),
            content=content,
            previous=previous,
            deleted=_named(connection, "deleted", since.generation),
            items=_items(connection, since.generation),
            vectors=_vectors(connection, since.watermark, spaces),
            uploads=_uploads(connection, _named(connection, "upload", since.generation)),
        )


def to_bytes(change: Change, after: Position) -> bytes:
    """The object that says `change` to those who have heard up to `after`."""
    sections: list[bytes] = [json.dumps(change.items).encode()]
    for ids, embeddings in change.vectors.values():
        sections += [json.dumps(list(ids)).encode(), embeddings.astype("<f4").tobytes()]
    sections += [arrays for _, arrays in change.uploads.values()]
    header = {
        "format": FORMAT,
        "line": after.line,
        "after": after.sha256,
        **{name: getattr(change, name) for name in ("since", "generation", "watermark", "content", "previous")},
        "spaces": [asdict(space) for space in change.spaces],
        "deleted": list(change.deleted),
        "vectors": list(change.vectors),
        "uploads": [[name, kind] for name, (kind, _) in change.uploads.items()],
        "sections": [len(section) for section in sections],
    }
    return sealed(b"\n".join([json.dumps(header).encode(), b"".join(sections)]))


def from_bytes(name: str, content: bytes, after: Position) -> Change:
    """The change that was written under `name`. Raises Damaged, or Foreign when it does not continue `after`."""
    start, _, body = unsealed(name, content).partition(b"\n")
    header = json.loads(start)
    if header.get("format") != FORMAT:
        raise Foreign(f"{name} has the format {header.get('format')!r}, this retriever reads {FORMAT!r}; use the version that wrote it.")
    if (header["line"], header["since"], header["after"]) != (after.line, after.generation, after.sha256):
        raise Foreign(f"{name} does not continue what was heard up to generation {after.generation} of the line {after.line}.")
    if sum(header["sections"]) != len(body):
        raise Damaged(f"{name} is damaged: its sections have {sum(header['sections'])} bytes, {len(body)} are there.")
    ends = np.cumsum([0, *header["sections"]]).tolist()
    sections = iter([body[first:end] for first, end in pairwise(ends)])
    spaces = [SpaceRow(**space) for space in header["spaces"]]
    dimension = {space.name: space.dimension for space in spaces}
    items = [ItemRow(*row) for row in json.loads(next(sections))]
    return Change(
        **{name: header[name] for name in ("since", "generation", "watermark", "content", "previous")},
        spaces=spaces,
        deleted=header["deleted"],
        items=items,
        vectors={space: (json.loads(next(sections)), _matrix(next(sections), dimension[space])) for space in header["vectors"]},
        uploads={upload: (kind, next(sections)) for upload, kind in header["uploads"]},
    )


@contextmanager
def _one_state(connection: sqlite3.Connection) -> Iterator[None]:
    """Every read inside sees the same commit."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")


def _named(connection: sqlite3.Connection, what: str, since: int) -> list[str]:
    rows = connection.execute("SELECT DISTINCT name FROM news WHERE generation > ? AND what = ?", (since, what))
    return [name for (name,) in rows]


def _items(connection: sqlite3.Connection, since: int) -> list[ItemRow]:
    rows = connection.execute("SELECT id, title, attributes, text FROM items WHERE changed > ? ORDER BY number", (since,))
    return [ItemRow(*row) for row in rows]


def _vectors(connection: sqlite3.Connection, watermark: int, spaces: Mapping[int, SpaceRow]) -> dict[str, tuple[list[str], Floats]]:
    found: dict[int, list[tuple[str, bytes]]] = {}
    rows = connection.execute(
        "SELECT space, id, embedding FROM vectors JOIN items USING (number) WHERE version > ? ORDER BY version", (watermark,)
    )
    for space, name, embedding in rows:
        found.setdefault(space, []).append((name, embedding))
    return {
        spaces[space].name: ([name for name, _ in pairs], _matrix(b"".join(embedding for _, embedding in pairs), spaces[space].dimension))
        for space, pairs in found.items()
    }


def _uploads(connection: sqlite3.Connection, names: Sequence[str]) -> dict[str, tuple[str, bytes]]:
    rows = connection.execute("SELECT name, kind, arrays FROM spaces WHERE name IN (SELECT value FROM json_each(?))", (json.dumps(names),))
    return {name: (kind, arrays) for name, kind, arrays in rows}


def _matrix(embeddings: bytes, dimension: int) -> Floats:
    return np.frombuffer(embeddings, "<f4").astype(np.float32).reshape(-1, dimension)
