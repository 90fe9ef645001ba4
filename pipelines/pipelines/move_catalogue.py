"""Moves a catalogue from one running retriever to another, such as from FAISS to Milvus. Knows HTTP and the order of ids, no backend.

Both are read in the order of ids at the same time, items and every vector space side by side, and what the target has not or has
otherwise is sent: so memory stays flat however large the catalogue is, a move that was cut off goes on by being started again, and one
that is repeated sends nothing. Then both are read once more, counted and hashed; only when the hashes are equal did it succeed.
"""

import hashlib
import heapq
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Self

import httpx2
from tqdm import tqdm

PAGE, BATCH = 500, 500
LINES = {"content-type": "application/x-ndjson"}
CONTENT = "content"


class MoveIncomplete(Exception):
    """The target is not what the source is; the message says where they differ."""


class RetrieverRefused(Exception):
    """A retriever answered with a problem; the message is its detail."""


@dataclass(frozen=True)
class Space:
    """A vector space of the source."""

    name: str
    fingerprint: str
    dimension: int
    kind: str
    missing: int
    content: bool


@dataclass(frozen=True)
class Entry:
    """An item, and its embeddings (base64 of float32) by the space's name; without an item only vectors came, as it was deleted."""

    id: str
    item: Mapping[str, Any] | None
    embeddings: Mapping[str, str]

    def bytes(self) -> bytes:
        """The same for the same entry, whichever retriever it comes from."""
        return json.dumps([self.item, self.embeddings], sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


@dataclass
class Tally:
    """Counts and hashes entries in the order of their ids."""

    items: int = 0
    vectors: int = 0
    sha256: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    def add(self, entry: Entry) -> None:
        self.items += 1
        self.vectors += len(entry.embeddings)
        written = entry.bytes()
        self.sha256.update(len(written).to_bytes(8, "little") + written)

    def __str__(self) -> str:
        return f"{self.items:,} items, {self.vectors:,} vectors, SHA-256 {self.sha256.hexdigest()}"

    @property
    def known_by(self) -> tuple[int, int, str]:
        return self.items, self.vectors, self.sha256.hexdigest()


class Retriever:
    """A connection to a retriever at `url`; a context manager."""

    def __init__(self, url: str, timeout_s: float = 120) -> None:
        self.url = url
        self._http = httpx2.Client(base_url=url, timeout=timeout_s, trust_env=False)

    def send(self, method: str, path: str, **options: Any) -> Any:
        """The answer's JSON. Raises RetrieverRefused."""
        response = self._http.request(method, path, **options)
        _check(response, f"{method} {self.url}{path}")
        return response.json() if response.content else None

    def spaces(self) -> list[Space]:
        """The vector spaces, the one with the role content first."""
        states = [state for state in self.send("GET", "/v1/spaces") if state.get("missing") is not None]
        spaces = [
            Space(of["name"], of["fingerprint"], of["dimension"], of["kind"], of["missing"], of.get("role") == CONTENT) for of in states
        ]
        return sorted(spaces, key=lambda space: not space.content)

    def entries(self, names: Sequence[str]) -> Iterator[Entry]:
        """The whole catalogue with its vectors in those spaces, in the order of ids by code point."""
        merged = heapq.merge(self._items(), *map(self._vectors, names), key=lambda row: row[:2])
        for name, rows in groupby(merged, key=lambda row: row[0]):
            parts: dict[str, Any] = {space: part for _, space, part in rows}
            yield Entry(name, parts.pop("", None), parts)

    def put(self, space: Space, entries: Sequence[Entry]) -> None:
        """Items with their vectors in `space`, which all of them have."""
        rows = [{"item": entry.item, "embedding": entry.embeddings[space.name]} for entry in entries]
        self.send("PUT", "/v1/items", params={"fingerprint": space.fingerprint}, content=_lines(rows), headers=LINES)

    def put_vectors(self, space: Space, entries: Sequence[Entry]) -> None:
        """Vectors in `space`, which all of them have, of items that are there."""
        rows = [{"id": entry.id, "embedding": entry.embeddings[space.name]} for entry in entries]
        path, params = f"/v1/spaces/{space.name}/vectors", {"fingerprint": space.fingerprint}
        self.send("PUT", path, params=params, content=_lines(rows), headers=LINES)

    def _items(self) -> Iterator[tuple[str, str, Any]]:
        """(id, "", item)."""
        query: dict[str, Any] = {"limit": PAGE}
        while True:
            page = self.send("GET", "/v1/items", params=query)
            yield from ((item["id"], "", item) for item in page["items"])
            if not (cursor := page.get("next_cursor")):
                return
            query["cursor"] = cursor

    def _vectors(self, space: str) -> Iterator[tuple[str, str, Any]]:
        """(id, space, embedding)."""
        path = f"/v1/spaces/{space}/vectors"
        with self._http.stream("GET", path) as response:
            if response.status_code >= 400:
                response.read()
            _check(response, f"GET {self.url}{path}")
            for line in response.iter_lines():
                row = json.loads(line)
                yield row["id"], space, row["embedding"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()


def run(source: Retriever, target: Retriever, kind: str | None) -> Tally:
    """Makes `target` hold what `source` holds; its spaces are of `kind`, or each of the source's. Returns what arrived.

    Uploaded spaces (collaborative, popular) are not moved: `refresh` makes them anew. Raises RetrieverRefused and MoveIncomplete; started
    again it goes on.
    """
    spaces = source.spaces()
    for space in spaces:
        wanted = {"name": space.name, "fingerprint": space.fingerprint, "dimension": space.dimension, "kind": kind or space.kind}
        target.send("POST", "/v1/spaces", json=wanted)
    names = [space.name for space in spaces]
    pairs = _side_by_side(source.entries(names), target.entries(names))
    with tqdm(desc="compared", unit=" items", unit_scale=True, mininterval=0.5, dynamic_ncols=True) as bar:
        for batch in _batches(pairs):
            _send(target, spaces, [mine for mine, theirs in batch if mine and mine.item and mine != theirs])
            bar.update(len(batch))
    content = next((space for space in spaces if space.content), None)
    if content and content.name not in [space.name for space in target.spaces() if space.content]:
        target.send("PUT", "/v1/roles/content", json={"space": content.name, "allow_missing": content.missing > 0})
    return _verified(source, target, names)


def _send(target: Retriever, spaces: Sequence[Space], entries: Sequence[Entry]) -> None:
    """An item goes with its vector in the first space where it has one, its other vectors follow."""
    first = {entry.id: next((space for space in spaces if space.name in entry.embeddings), None) for entry in entries}
    for space in spaces:
        if mine := [entry for entry in entries if first[entry.id] == space]:
            target.put(space, mine)
    for space in spaces:
        if mine := [entry for entry in entries if space.name in entry.embeddings and first[entry.id] != space]:
            target.put_vectors(space, mine)


def _verified(source: Retriever, target: Retriever, names: Sequence[str]) -> Tally:
    told, came, differing, without = Tally(), Tally(), list[str](), 0
    for mine, theirs in _side_by_side(source.entries(names), target.entries(names)):
        if mine and mine.item:
            told.add(mine)
            without += not mine.embeddings
        if theirs and theirs.item:
            came.add(theirs)
        if mine != theirs and len(differing) < 5:
            differing.append((mine or theirs).id)  # type: ignore[union-attr]
    if told.known_by != came.known_by:
        raise MoveIncomplete(
            f"The source has {told}; the target has {came}. They differ first at {', '.join(map(repr, differing))}. "
            f"{without:,} items of the source have no vector in any space, and such can not be moved. "
            "Stop writing to both, remove from the target what the source has not, and start the move again."
        )
    return came


def _side_by_side(mine: Iterator[Entry], theirs: Iterator[Entry]) -> Iterator[tuple[Entry | None, Entry | None]]:
    """Both in the order of ids; None where one has not what the other has."""
    tagged = heapq.merge(((entry.id, 0, entry) for entry in mine), ((entry.id, 1, entry) for entry in theirs), key=lambda row: row[:2])
    for _, rows in groupby(tagged, key=lambda row: row[0]):
        pair: dict[int, Entry] = {side: entry for _, side, entry in rows}
        yield pair.get(0), pair.get(1)


def _batches(pairs: Iterable[tuple[Entry | None, Entry | None]]) -> Iterator[list[tuple[Entry | None, Entry | None]]]:
    batch: list[tuple[Entry | None, Entry | None]] = []
    for pair in pairs:
        batch.append(pair)
        if len(batch) == BATCH:
            yield batch
            batch = []
    yield batch


def _lines(rows: Iterable[Mapping[str, Any]]) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n" for row in rows)


def _check(response: httpx2.Response, asked: str) -> None:
    if response.status_code >= 400:
        problem = response.json() if "json" in response.headers.get("content-type", "") else {}
        raise RetrieverRefused(f"{asked}: {response.status_code} {problem.get('detail', response.text[:300])}")
