"""Items as rows of Milvus and back. Knows nothing of calls to a server.

An item's payload is one row of the collection of items: attributes as JSON text, so that they come back exactly as they went, and the text
in two parts, because a VARCHAR holds 65,535 bytes. What filters look at is with each vector, in two fields: `terms`, one hash for each
fact about an attribute, and `numbers`, the numeric attributes as doubles. What search-as-you-type looks at is `words`, with the payload.
"""

import json
from collections.abc import Mapping, Sequence

from retriever.backends.milvus.server import KEY_BYTES, MAX_TERMS, MAX_VARCHAR, Row
from retriever.backends.milvus.terms import drawn, level_of, numbers_of, terms_of
from retriever.backends.milvus.typed import line_of
from retriever.errors import ItemTooLarge
from retriever.items import AttributeValue, Item

PART = 16_000
"""Characters in a part of a text: at most 64,000 bytes."""
PARTS = 2
PAYLOAD = ("title", "attributes", "text_1", "text_2")
BRIEF = ("title", "attributes")
"""The payload without the text."""
ITEM_FIELDS = (*((name, "text") for name in PAYLOAD), ("words", "words"))
VECTOR_FIELDS = (("terms", "terms"), ("numbers", "json"))
NOWHERE = [0.0, 0.0]
"""The vector of a row that has none: Milvus wants one in every collection."""


def payload(item: Item) -> Row:
    """The row of `item` among the items. Raises ItemTooLarge."""
    text = item.text if item.text is not None else ""
    # a mark tells a text from none, for a VARCHAR is never absent
    marked = f"={text}" if item.text is not None else ""
    parts = {f"text_{at + 1}": marked[at * PART : (at + 1) * PART] for at in range(PARTS)}
    row: Row = {"id": item.id, "vector": NOWHERE, "title": item.title, "attributes": _written(item.attributes), **parts}
    row["words"] = line_of(item)[:PART]
    if len(marked) > PART * PARTS:
        raise _too_large(item, f"a text of {len(text)} characters, more than {PART * PARTS - 1}")
    if len(item.id.encode()) > KEY_BYTES:
        raise _too_large(item, f"an id of more than {KEY_BYTES} bytes")
    for name in ("title", "attributes"):
        if len(row[name].encode()) > MAX_VARCHAR:
            raise _too_large(item, f"more than {MAX_VARCHAR} bytes of {name}")
    return row


def filterable(item: Item) -> Row:
    """What filters look at, as fields beside the vector. Raises ItemTooLarge."""
    terms = terms_of(item.attributes)
    if len(terms) >= MAX_TERMS:
        raise _too_large(item, f"{len(terms)} attribute values, more than {MAX_TERMS - 1} together")
    return {"id": item.id, "terms": [*terms, drawn(level_of(item.id))], "numbers": numbers_of(item.attributes)}


def item_of(row: Row, *, with_text: bool) -> Item:
    """The item of a row among the items."""
    attributes = {name: tuple(value) if isinstance(value, list) else value for name, value in json.loads(row["attributes"]).items()}
    marked = row["text_1"] + row["text_2"] if with_text else ""
    return Item(row["id"], row["title"], attributes, marked[1:] if marked else None)


def last_of(ids: Sequence[str]) -> list[int]:
    """The places at which an id comes for the last time, ascending."""
    return sorted({name: at for at, name in enumerate(ids)}.values())


def _written(attributes: Mapping[str, AttributeValue]) -> str:
    return json.dumps(attributes, ensure_ascii=False, allow_nan=True)


def _too_large(item: Item, what: str) -> ItemTooLarge:
    return ItemTooLarge(f"Item {item.id[:200]!r} has {what}, which Milvus can not hold; shorten it. Nothing was stored.")
