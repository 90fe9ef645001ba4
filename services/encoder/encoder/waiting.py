"""Passages that wait for their turn, and whose turn it is. Knows nothing of threads and models; its user lets one thread in at a time.

Passages wait by step of the ladder, so that a batch holds little padding. Within a priority they are taken in the order of start-time fair
queueing (Goyal et al., 1996) by tokens: a short request is served between the passages of a long one, not after all of them. A text that
waits already is not queued a second time.
"""

import heapq
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from encoder.ladder import Ladder
from encoder.request import Priority, Request

BULK_SHARE = 1 / 16
"""Of the tokens that are run while passages of both priorities wait."""
MOST_DEAD = 256
"""Entries of passages that wait no more which may stay in a lane, beyond as many as there are others."""


@dataclass(eq=False, slots=True)
class Passage:
    """One text in the queue or with the model, and who takes its embedding: requests, each with the index among its texts."""

    content: Any
    tokens: int
    key: bytes
    """Equal where texts are; empty where the embedding shall not be shared."""
    start: int
    since: float
    """When it was queued, by `time.perf_counter`."""
    takers: list[tuple[Request, int]] = field(default_factory=list)
    waits: bool = True

    def wanted(self, now: float) -> bool:
        """Whether it is worth running, at an instant of `time.monotonic`."""
        return any(request.wanted(now) for request, _ in self.takers)


class _Lane:
    """The passages of one priority; the smallest `start` is served first, then the one that came first."""

    def __init__(self, ladder: Ladder) -> None:
        self._ladder, self._serial = ladder, count()
        self._heaps: dict[int, list[tuple[int, int, Passage]]] = defaultdict(list)
        self._texts: dict[bytes, Passage] = {}
        self._entries = self._now = 0
        self.live = 0
        """Passages that wait."""

    def add(self, request: Request, passages: Iterable[tuple[int, bytes, Any]]) -> int:
        """As `Waiting.add`."""
        start, added, since = self._now, 0, time.perf_counter()
        for index, key, content in passages:
            passage = self._texts.get(key)
            if passage is None:
                passage = Passage(content, len(content), key, start + added, since)
                added += passage.tokens
                self.live += 1
                if key:
                    self._texts[key] = passage
                self._push(passage)
            elif start + added < passage.start:
                passage.start = start + added
                self._push(passage)
            passage.takers.append((request, index))
            request.passages.append(passage)
        request.enqueued = since
        return added

    def remove(self, passage: Passage) -> None:
        """The passage waits no more; its entries are dead."""
        passage.waits = False
        self.live -= 1
        self._texts.pop(passage.key, None)
        if self._entries > 2 * self.live + MOST_DEAD:
            self._sweep()

    def take(self, most: int) -> list[Passage]:
        """The passage whose turn it is, and the next ones of its step, at most `most`; nothing when nobody wants any."""
        now = time.monotonic()
        heads = [(head[:2], step) for step in list(self._heaps) if (head := self._head(step, now))]
        if not heads:
            return []
        step, batch, lengths = min(heads)[1], list[Passage](), list[int]()
        while len(batch) < most and (head := self._head(step, now)) and self._ladder.fits(lengths, head[2].tokens):
            self.remove(head[2])
            batch.append(head[2])
            lengths.append(head[2].tokens)
        self._now = max(self._now, batch[0].start)
        return batch

    def _push(self, passage: Passage) -> None:
        """Makes an entry; an earlier one of the same passage is dead, because its start was another."""
        heapq.heappush(self._heaps[self._ladder.step(passage.tokens)], (passage.start, next(self._serial), passage))
        self._entries += 1

    def _head(self, step: int, now: float) -> tuple[int, int, Passage] | None:
        """The first entry of a step whose passage somebody wants; those before it are dropped."""
        while heap := self._heaps[step]:
            if _alive(heap[0]):
                if heap[0][2].wanted(now):
                    return heap[0]
                self.remove(heap[0][2])  # may sweep, so the heap is looked up again
            else:
                heapq.heappop(heap)
                self._entries -= 1
        return None

    def _sweep(self) -> None:
        for step, heap in self._heaps.items():
            self._heaps[step] = [entry for entry in heap if _alive(entry)]
            heapq.heapify(self._heaps[step])
        self._entries = sum(map(len, self._heaps.values()))


def _alive(entry: tuple[int, int, Passage]) -> bool:
    start, _, passage = entry
    return passage.waits and start == passage.start


class Waiting:
    """The queue before the model."""

    def __init__(self, ladder: Ladder) -> None:
        self._online, self._bulk = _Lane(ladder), _Lane(ladder)
        self._lanes = {Priority.ONLINE: self._online, Priority.BULK: self._bulk}
        self._credit = 0.0
        """Tokens that bulk passages may be run of before online ones."""

    def __len__(self) -> int:
        """Passages that wait."""
        return self._online.live + self._bulk.live

    def add(self, request: Request, passages: Iterable[tuple[int, bytes, Any]]) -> int:
        """Queues passages (index among the request's texts, key, content); returns how many tokens they add to what is to be run."""
        return self._lanes[request.priority].add(request, passages)

    def drop(self, request: Request) -> None:
        """Nobody waits for the request any more; passages that no other takes are not run."""
        for passage in request.passages:
            passage.takers = [taker for taker in passage.takers if taker[0] is not request]
            if passage.waits and not passage.takers:
                self._lanes[request.priority].remove(passage)
        request.passages.clear()

    def take(self, threads: int) -> list[Passage]:
        """The next batch, no more than lets each of `threads` free threads have some; nothing when nothing waits."""
        while len(self):
            contested = self._online.live and self._bulk.live
            bulk = self._credit > 0 if contested else not self._online.live
            lane = self._bulk if bulk else self._online
            if batch := lane.take(-(-lane.live // threads)):
                if contested:
                    tokens = sum(passage.tokens for passage in batch)
                    self._credit += -tokens if bulk else tokens * BULK_SHARE / (1 - BULK_SHARE)
                return batch
        return []
