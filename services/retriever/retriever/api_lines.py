"""Reads the lines of bulk writes as they stream in. Knows nothing of what is done with them.

Pydantic reads the lines of a batch in one call, as the JSON array that they are with commas between them; when it refuses one they are
read one by one, to find out which. An embedding is read only as the string or list that it is: the numbers of a whole batch become one
array at once. That takes a quarter of the time that `StoredItem` takes line by line; a test holds both together. Batches that are written
plainly are not even read so, but by `api_plain`.
"""

import binascii
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Generic, TypeVar

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError

from contracts import items as wire_items
from contracts.retriever import ItemPatch, PatchLine
from contracts.wire import MAX_DIMENSION, Id, Wire
from retriever import api_plain
from retriever.backends.protocol import Patch
from retriever.errors import EmbeddingInvalid
from retriever.items import Floats, Item
from servicekit import problems

BATCH_LINES = 1_000
"""Stored at once: what is lost of a batch that fails, and how often the disk is waited for."""
LONGEST_LINE = 2**22
UNIT_TOLERANCE = 1e-3

LeanEmbedding = str | Annotated[tuple[float, ...], Field(min_length=1, max_length=MAX_DIMENSION)]
"""`contracts.wire.Embedding` before its base64 is read."""
Row = TypeVar("Row")
Read = TypeVar("Read")


class LeanItem(Wire):
    """`StoredItem` with its embedding unread."""

    item: wire_items.Item
    embedding: LeanEmbedding


class LeanVector(Wire):
    """`VectorLine` with its embedding unread."""

    id: Id
    embedding: LeanEmbedding


@dataclass(frozen=True, slots=True)
class Batch(Generic[Row]):
    """Rows that are stored together, and the number of the line that ends them, from 1."""

    rows: Row
    last_line: int


class Refusal(Exception):
    """A row of a batch that can not be used, by its place from 0."""

    def __init__(self, place: int, reason: str) -> None:
        super().__init__(reason)
        self.place, self.reason = place, reason


class Lines(Generic[Read, Row]):
    """The lines of one body: `feed` bytes in any portions, then `finish`; both give the batches that are complete.

    At the first line that can not be used the lines before it come as the last batch, `refused` holds its number and the reason, and
    what follows is not looked at. Blank lines are passed over, but counted.
    """

    def __init__(
        self, kind: type[Read], gather: Callable[[Sequence[Read]], Row], plain: Callable[[Sequence[bytes]], Row | None] = lambda _: None
    ) -> None:
        """`gather` makes rows a batch, or raises Refusal; `plain` makes lines one, or gives None or raises Refusal, for whatever reason."""
        self.refused: tuple[int, str] | None = None
        self._plain = plain
        self._one, self._many = TypeAdapter(kind).validate_json, TypeAdapter(list[kind]).validate_json  # type: ignore[valid-type]
        self._gather = gather
        self._rest: list[bytes] = []
        self._rest_bytes = self._line = 0
        self._lines: list[bytes] = []
        self._numbers: list[int] = []

    def feed(self, received: bytes) -> list[Batch[Row]]:
        head, newline, tail = received.rpartition(b"\n")
        batches: list[Batch[Row]] = []
        if newline:
            for line in b"".join((*self._rest, head)).split(b"\n"):
                self._take(line, batches)
            self._rest, self._rest_bytes = [], 0
        self._rest.append(tail)
        self._rest_bytes += len(tail)
        if self._rest_bytes > LONGEST_LINE:
            self._take(b"".join(self._rest), batches)
        return batches

    def finish(self) -> list[Batch[Row]]:
        batches: list[Batch[Row]] = []
        self._take(b"".join(self._rest), batches)
        self._rest = []
        self._close(batches)
        return batches

    def _take(self, line: bytes, batches: list[Batch[Row]]) -> None:
        if self.refused:
            return
        self._line += 1
        if len(line) > LONGEST_LINE:
            return self._refuse(self._line, f"it is longer than {LONGEST_LINE} bytes; shorten it.", batches)
        if not (line := line.strip()):
            return None
        self._lines.append(line)
        self._numbers.append(self._line)
        if len(self._lines) == BATCH_LINES:
            self._close(batches)

    def _refuse(self, line: int, reason: str, batches: list[Batch[Row]]) -> None:
        self._close(batches)
        self.refused = self.refused or (line, reason)  # a line before it may have been found out only now

    def _read(self, lines: list[bytes], numbers: list[int]) -> list[Read]:
        """The rows up to the first that can not be used."""
        # a string can not go on in the next line, nor an object or list of these rows with "{" after a comma: so many rows as lines are
        # one row a line
        if all(line[:1] == b"{" and line[-1:] == b"}" for line in lines):
            with suppress(ValidationError):
                if len(rows := self._many(b"[" + b",\n".join(lines) + b"]")) == len(lines):
                    return rows
        rows = []
        for line, number in zip(lines, numbers, strict=True):
            try:
                rows.append(self._one(line))
            except ValidationError as error:
                self.refused = (number, _told(error))
                break
        return rows

    def _close(self, batches: list[Batch[Row]]) -> None:
        numbers, lines = self._numbers, self._lines
        self._lines, self._numbers = [], []
        with suppress(Refusal):
            if lines and (plain := self._plain(lines)) is not None:
                batches.append(Batch(plain, numbers[-1]))
                return
        rows = self._read(lines, numbers)
        while rows:
            try:
                batches.append(Batch(self._gather(rows), numbers[len(rows) - 1]))
            except Refusal as refusal:
                self.refused = (numbers[refusal.place], refusal.reason)
                rows = rows[: refusal.place]
            else:
                return


def _told(error: ValidationError) -> str:
    faults = error.errors(include_url=False)
    if faults[0]["type"] == "json_invalid":
        return f"it is not JSON ({faults[0]['ctx']['error']}); send one JSON object per line."
    return problems.sentence(problems.violations(faults), len(faults)) + "."


class Vectors:
    """Makes embeddings of one dimension an array `(n, dim)` float32 of unit length; the first one seen sets the dimension."""

    def __init__(self, dimension: int | None = None) -> None:
        self._bytes = 4 * dimension if dimension else None

    def read(self, embeddings: Sequence[str | Sequence[float]]) -> Floats:
        """Raises Refusal for the first that is not base64, has another dimension, or is not of length 1."""
        read: list[bytes] = []
        for place, embedding in enumerate(embeddings):
            try:
                raw = _raw(embedding)
            except ValueError as error:
                raise Refusal(place, f"embedding: {error}.") from None
            self._bytes = self._bytes or len(raw)
            if len(raw) != self._bytes:
                raise Refusal(place, f"its embedding has {len(raw) // 4} numbers, not {self._bytes // 4}; embed all with one encoder.")
            read.append(raw)
        return self._of_unit_length(read)

    def plain(self, embeddings: Sequence[bytes]) -> Floats | None:
        """The same of embeddings that are equally long; None when they have another dimension."""
        self._bytes = self._bytes or len(embeddings[0])
        return self._of_unit_length(embeddings) if len(embeddings[0]) == self._bytes else None

    @staticmethod
    def _of_unit_length(embeddings: Sequence[bytes]) -> Floats:
        vectors = np.frombuffer(b"".join(embeddings), "<f4").reshape(len(embeddings), -1)
        with np.errstate(over="ignore", invalid="ignore"):  # refused next, as is NaN
            if (np.abs(np.einsum("ij,ij->i", vectors, vectors) - 1) <= UNIT_TOLERANCE).all():  # of the square: half of it for the length
                return vectors
            lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
        wrong = np.flatnonzero(~(np.abs(lengths - 1.0) <= UNIT_TOLERANCE))
        if len(wrong):
            place = int(wrong[0])
            raise Refusal(place, f"its embedding has the length {lengths[place]:.6g}; send embeddings of length 1 (the encoder's are).")
        return vectors


def _raw(embedding: str | Sequence[float]) -> bytes:
    if not isinstance(embedding, str):
        with np.errstate(over="ignore"):  # infinite in float32, which the length tells
            return np.array(embedding, np.float64).astype("<f4").tobytes()
    try:
        raw = binascii.a2b_base64(embedding, strict_mode=True)
    except ValueError as error:
        raise ValueError(f"is not base64 ({error}); send a list of numbers or base64 of little-endian float32") from None
    if not raw or len(raw) % 4 or len(raw) > 4 * MAX_DIMENSION:
        raise ValueError(f"has {len(raw)} bytes; send base64 of 1 to {MAX_DIMENSION} little-endian float32")
    return raw


_plain_items, _plain_vectors = api_plain.reader(api_plain.ItemRow), api_plain.reader(api_plain.VectorRow)


def item_lines() -> Lines[LeanItem, tuple[Sequence[Item], Floats]]:
    """Lines of `StoredItem`."""
    vectors = Vectors()

    def plain(lines: Sequence[bytes]) -> tuple[Sequence[Item], Floats] | None:
        if (read := _plain_items(lines)) is None or (embeddings := vectors.plain(read[1])) is None:
            return None
        return [row.item for row in read[0]], embeddings

    return Lines(LeanItem, lambda rows: ([item_of(row.item) for row in rows], vectors.read([row.embedding for row in rows])), plain)


def vector_lines(dimension: int) -> Lines[LeanVector, tuple[list[str], Floats]]:
    """Lines of `VectorLine`."""
    vectors = Vectors(dimension)

    def plain(lines: Sequence[bytes]) -> tuple[list[str], Floats] | None:
        if (read := _plain_vectors(lines)) is None or (embeddings := vectors.plain(read[1])) is None:
            return None
        return [row.id for row in read[0]], embeddings

    return Lines(LeanVector, lambda rows: ([row.id for row in rows], vectors.read([row.embedding for row in rows])), plain)


def patch_lines() -> Lines[PatchLine, list[Patch]]:
    """Lines of `PatchLine`."""
    return Lines(PatchLine, lambda rows: [patch_of(row.id, row) for row in rows])


def embedded(rows: Sequence[LeanItem]) -> tuple[list[Item], Floats]:
    """The items of a JSON body and their embeddings; raises EmbeddingInvalid naming the item."""
    try:
        return [item_of(row.item) for row in rows], Vectors().read([row.embedding for row in rows])
    except Refusal as refusal:
        name = rows[refusal.place].item.id
        raise EmbeddingInvalid(f"Item {name!r}: {refusal.reason} Nothing was stored.") from None


def item_of(item: wire_items.Item) -> Item:
    return Item(item.id, item.title, item.attributes, item.text)


def patch_of(name: str, patch: ItemPatch) -> Patch:
    named = patch.model_fields_set
    return Patch(
        name,
        patch.title if "title" in named else None,
        patch.text,
        "text" in named and patch.text is None,
        patch.attributes or {},
        "attributes" in named and patch.attributes is None,
    )
