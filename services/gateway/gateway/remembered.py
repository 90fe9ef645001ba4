"""Remembers the last good result of each request shape, for when the retriever is down. Knows nothing of why one is asked for."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Result = TypeVar("Result")


class Remembered(Generic[Result]):
    """The newest `capacity` results by shape; those made for a user are forgotten with the user."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._kept: OrderedDict[Hashable, tuple[str | None, Result]] = OrderedDict()
        self.erasures = 0
        """Grows with each erasure; a request that began before one must not be kept after it."""

    def keep(self, shape: Hashable, result: Result, user_id: str | None, since: int) -> None:
        """Keeps `result`, unless a user was erased since `erasures` was `since` and it was made for a user."""
        if user_id is not None and since != self.erasures:
            return
        self._kept[shape] = (user_id, result)
        self._kept.move_to_end(shape)
        if len(self._kept) > self._capacity:
            self._kept.popitem(last=False)

    def get(self, shape: Hashable) -> Result | None:
        """The last good result of this shape; None when it was never asked or is forgotten."""
        _, result = self._kept.get(shape, (None, None))
        return result

    def forget(self, user_id: str) -> None:
        """Drops every result that was made for this user."""
        self.erasures += 1
        for shape in [shape for shape, (owner, _) in self._kept.items() if owner == user_id]:
            del self._kept[shape]

    def revise(self, change: Callable[[Result], Result]) -> None:
        """Replaces every result by what `change` makes of it."""
        for shape, (owner, result) in self._kept.items():
            self._kept[shape] = (owner, change(result))
