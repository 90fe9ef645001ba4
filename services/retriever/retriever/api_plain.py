"""Reads batches of lines that are written plainly, as programs write them, several times as fast. Knows nothing of streams and refusals.

A line is plain when its embedding comes last, as base64 without line breaks, as long as that of the other lines, and when its words need
no folding. The contract's own reading would leave all of that as it is, so what is plain is taken as it stands; what is not is left to
`api_lines`, which takes it too or says why it does not. A test holds both together.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, TypeVar

from pydantic import ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from contracts.items import AttributeName
from contracts.wire import MAX_DIMENSION
from retriever.items import Item

_WORD = r"[^\s\x00-\x20\x7f-\x9f]+"
"""Neither white space nor a control character, of which Python's `str.split` and regular expressions take a few for white space."""
Text = Annotated[str, StringConstraints(max_length=500, pattern=rf"^{_WORD}(?: {_WORD})*$")]
LongText = Annotated[str, StringConstraints(max_length=20_000, pattern=r"^[^\x00]*$")]
Id = Annotated[str, StringConstraints(max_length=128, pattern=r"^[^\s/?#.\x00-\x20\x7f-\x9f][^\s/?#\x00-\x20\x7f-\x9f]*$")]
Words = Annotated[tuple[Text, ...], Field(max_length=100)]
Value = Annotated[
    Text | Words | Annotated[bool, Field(strict=True)] | Annotated[int, Field(strict=True)] | Annotated[float, Field(strict=True)],
    Field(union_mode="left_to_right"),
]
_STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True, slots=True)
class PlainItem(Item):
    """As `contracts.items.Item` has it."""

    __pydantic_config__: ClassVar = _STRICT

    id: Id
    title: Text
    attributes: Annotated[dict[AttributeName, Value], Field(max_length=64)] = field(default_factory=dict)
    text: LongText | None = None


@dataclass(frozen=True, slots=True)
class ItemRow:
    """`contracts.retriever.StoredItem` but for its embedding, which is cut out."""

    __pydantic_config__: ClassVar = _STRICT

    item: PlainItem
    embedding: str


@dataclass(frozen=True, slots=True)
class VectorRow:
    """`contracts.retriever.VectorLine` but for its embedding, which is cut out."""

    __pydantic_config__: ClassVar = _STRICT

    id: Id
    embedding: str


Row = TypeVar("Row", ItemRow, VectorRow)

_embeddings = TypeAdapter(list[bytes], config=ConfigDict(val_json_bytes="base64")).validate_json


def reader(kind: type[Row]) -> Callable[[Sequence[bytes]], tuple[list[Row], list[bytes]] | None]:
    """Makes lines (at least one, stripped) rows of `kind` and their embeddings' bytes, all equally many; or None if any is not plain."""
    rows_of: Callable[[bytes], list[Row]] = TypeAdapter(list[kind]).validate_json  # type: ignore[valid-type]

    def read(lines: Sequence[bytes]) -> tuple[list[Row], list[bytes]] | None:
        first = lines[0]
        width = len(first) - 3 - first.rfind(b'"', 0, -2)
        if width <= 0 or not all(line.startswith(b"{") and line.endswith(b'"}') for line in lines):
            return None
        cut = -2 - width
        # A string can not go on in the next line, nor a row with "{" after a comma: so many rows as lines are one row a line. In it the
        # last string was emptied; only `embedding` may be one, and if that is empty now, what was cut out is the whole of it.
        try:
            rows = rows_of(b'[%b"}]' % b'"},\n'.join([line[:cut] for line in lines]))
            encoded = b'["%b"]' % b'","'.join([line[cut:-2] for line in lines])
            embeddings = _embeddings(encoded)
        except ValidationError:
            return None
        size = len(embeddings[0])
        if not 0 < size <= 4 * MAX_DIMENSION or size % 4 or width != 4 * -(-size // 3):
            return None
        if b"-" in encoded or b"_" in encoded:  # the base64 of URLs, which pydantic reads as well
            return None
        if not len(rows) == len(lines) == len(embeddings) or any(row.embedding for row in rows):
            return None
        return (rows, embeddings) if set(map(len, embeddings)) == {size} else None

    return read
