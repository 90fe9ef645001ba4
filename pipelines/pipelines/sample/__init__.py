"""The sample catalogue: 6,219 real books and 474,241 user-book pairs, facts from goodbooks-10k (CC BY-SA 4.0, see NOTICE).

Knows nothing of services; yields what the public API takes.
"""

import gzip
import hashlib
import json
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

ITEMS, EVENTS = "items.ndjson.gz", "events.txt.gz"
ITEM_COUNT, EVENT_COUNT = 6_219, 474_241
PUBLISHED = "2017-09-01T00:00:00Z"
"""The time given to every event: when a book was shelved is not known, only that the data was published then. One instant for all
makes a repeated import store nothing twice."""


def _lines(name: str) -> Iterator[str]:
    with files(__name__).joinpath(name).open("rb") as raw, gzip.open(raw, "rt", encoding="utf-8") as lines:
        yield from lines


def digest() -> str:
    """SHA-256 of both files, in hexadecimal: which sample this is."""
    return hashlib.sha256(b"".join(files(__name__).joinpath(name).read_bytes() for name in (ITEMS, EVENTS))).hexdigest()


def items() -> Iterator[dict[str, Any]]:
    """The books, as `contracts.items.Item` takes them."""
    return map(json.loads, _lines(ITEMS))


def events() -> Iterator[dict[str, str]]:
    """Who put which book on the to-read shelf, as `contracts.gateway.Event` takes it."""
    for line in _lines(EVENTS):
        user, *books = line.split()
        for book in books:
            yield {"user_id": user, "item_id": book, "type": "like", "time": PUBLISHED}
