"""Knows the titles of items by id, for the sentences of reasons. Knows nothing of what the sentences say."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Protocol

from gateway.catalogue import Item
from servicekit.client import ServiceError
from servicekit.deadline import Deadline

CAPACITY, MOST_OF_A_REQUEST, MOST_AT_ONCE = 100_000, 20, 5
"""Titles kept; look-ups of one request, in all and in parallel: a request must not take the connections of many others."""


class Retriever(Protocol):
    """Where unknown titles are looked up."""

    async def item(self, item_id: str, deadline: Deadline) -> Item | None: ...


class Titles:
    """The titles seen last; bounded, and filled by every answer that passes."""

    def __init__(self, retriever: Retriever) -> None:
        self._retriever = retriever
        self._kept: OrderedDict[str, str] = OrderedDict()

    def learn(self, titles: Iterable[tuple[str, str]]) -> None:
        """Takes (id, title) pairs."""
        self._kept.update(titles)
        while len(self._kept) > CAPACITY:
            self._kept.popitem(last=False)

    def forget(self, item_id: str) -> None:
        self._kept.pop(item_id, None)

    async def look_up(self, ids: Iterable[str], deadline: Deadline) -> None:
        """Learns the titles of the first `ids` it does not know, at most 20, five at once; what can not be had is left unknown."""
        missing = [item_id for item_id in ids if item_id not in self._kept][:MOST_OF_A_REQUEST]
        permits = asyncio.Semaphore(MOST_AT_ONCE)
        found = await asyncio.gather(*(self._item(item_id, deadline, permits) for item_id in missing))
        self.learn((item.id, item.title) for item in found if item)

    async def _item(self, item_id: str, deadline: Deadline, permits: asyncio.Semaphore) -> Item | None:
        try:
            async with permits:
                return await self._retriever.item(item_id, deadline)
        except ServiceError:
            return None  # a sentence without the title is still true; the search reports the failure

    def known(self) -> Mapping[str, str]:
        return self._kept
