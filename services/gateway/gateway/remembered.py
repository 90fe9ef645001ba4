"""Remembers the last good result of each request shape, for when the retriever is down. Knows nothing of why one is asked for."""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

MAX_FILTER_CHARACTERS = 10_000
CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"))
Result = TypeVar("Result")


def shape_of(conditions: Mapping[str, Any], *parts: Any) -> str | None:
    """The shape of a request: the sha256 of its canonical form. None, which is never remembered, for a filter over 10,000 characters."""
    written, length = list[str](), 0
    for piece in CANONICAL.iterencode(conditions):  # piece by piece, so that a filter of megabytes is not written to the end
        written.append(piece)
        length += len(piece)
        if length > MAX_FILTER_CHARACTERS:
            return None
    return hashlib.sha256(f"{CANONICAL.encode(parts)}{''.join(written)}".encode()).hexdigest()


class Remembered(Generic[Result]):
    """The newest `capacity` results by shape; those made for a user are forgotten with the user."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._kept: OrderedDict[str, tuple[str | None, Result]] = OrderedDict()
        self.erasures = 0
        """Grows with each erasure; a request that began before one must not be kept after it."""

    def keep(self, shape: str | None, result: Result, user_id: str | None, since: int) -> None:
        """Keeps `result`, unless a user was erased since `erasures` was `since` and it was made for a user."""
        if shape is None or (user_id is not None and since != self.erasures):
            return
        self._kept[shape] = (user_id, result)
        self._kept.move_to_end(shape)
        if len(self._kept) > self._capacity:
            self._kept.popitem(last=False)

    def get(self, shape: str | None) -> Result | None:
        """The last good result of this shape; None when it was never asked or is forgotten."""
        _, result = self._kept.get(shape or "", (None, None))
        return result

    def forget(self, user_id: str) -> None:
        """Drops every result that was made for this user."""
        self.erasures += 1
        for shape in [shape for shape, (owner, _) in self._kept.items() if owner == user_id]:
            del self._kept[shape]

    def revise(self, change: Callable[[Result], Result | None]) -> None:
        """Replaces every result by what `change` makes of it, and drops it where that is None."""
        revised = ((shape, owner, change(result)) for shape, (owner, result) in self._kept.items())
        self._kept = OrderedDict((shape, (owner, result)) for shape, owner, result in revised if result is not None)
