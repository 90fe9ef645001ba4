"""Joins the passages of many requests into batches and gives every request its own embeddings. Knows no HTTP and no model.

A permit is taken before any work starts. Passages wait by length class, so that a batch holds little padding, and are taken in
the order of start-time fair queueing (Goyal et al., 1996): a short request is served between the passages of a long one, not
after all of them. Nothing waits for a batch to fill: an idle thread takes what is there.
"""

import asyncio
import heapq
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count

import numpy as np
from numpy.typing import NDArray

from encoder.backends.protocol import Backend
from encoder.canary import CANARY, unusable
from encoder.errors import DeadlinePassed, EmbeddingBroken, Overloaded
from encoder.metrics import EncoderMetrics
from servicekit import logs
from servicekit.deadline import Deadline

LOG = logs.get(__name__)
CANARY_MS = 5_000
Embeddings = NDArray[np.float32]


@dataclass(eq=False)
class _Request:
    """What one caller waits for: `rows` `(n, dim)` is the answer once none is missing."""

    rows: Embeddings
    missing: int
    answer: asyncio.Future[Embeddings]

    def take(self, index: int, row: Embeddings) -> None:
        self.rows[index] = row
        self.missing -= 1
        if not self.missing and not self.answer.done():
            self.answer.set_result(self.rows)

    def fail(self, error: EmbeddingBroken) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


@dataclass(order=True, frozen=True)
class _Passage:
    """One text in the queue; the smallest `start` is served first, then the one that came first."""

    start: int
    serial: int
    index: int = field(compare=False)
    text: str = field(compare=False)
    request: _Request = field(compare=False)
    since: float = field(compare=False)


class Batcher:
    """The one place where the backend is called; `threads` batches run at once. Used on one event loop."""

    def __init__(self, backend: Backend, *, threads: int, batch_texts: int, max_queued_texts: int, metrics: EncoderMetrics) -> None:
        self._backend, self._batch_texts, self._max_queued, self._metrics = backend, batch_texts, max_queued_texts, metrics
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="embed")
        self._free = threads
        self._held = 0
        self._waiting: dict[int, list[_Passage]] = defaultdict(list)
        self._now = 0
        self._serial = count()
        self._running: set[asyncio.Task[None]] = set()

    async def embed(self, texts: Sequence[str], deadline: Deadline) -> Embeddings:
        """Unit-length float32 `(len(texts), dim)` in order.

        Raises `Overloaded` when too many passages are held, `DeadlinePassed`, and `EmbeddingBroken` when the model fails on these.
        """
        if self._held + len(texts) > self._max_queued:
            self._metrics.overloaded.inc()
            raise Overloaded(
                f"{self._held} passages are being embedded already and {len(texts)} more would pass the limit of "
                f"{self._max_queued}; try again in a second or send fewer."
            )
        self._hold(len(texts))
        try:
            return await self._answer(texts, deadline)
        finally:
            self._hold(-len(texts))

    async def check(self) -> None:
        """Embeds the canary, also when the queue is full; returns when a usable embedding came out, raises otherwise."""
        await self._answer((CANARY,), Deadline.after_ms(CANARY_MS))

    def close(self) -> None:
        """Lets running batches finish and starts no more."""
        self._waiting.clear()
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _hold(self, change: int) -> None:
        self._held += change
        self._metrics.queued_texts.set(self._held)

    async def _answer(self, texts: Sequence[str], deadline: Deadline) -> Embeddings:
        rows = np.empty((len(texts), self._backend.identity.dimension), np.float32)
        request = _Request(rows, len(texts), asyncio.get_running_loop().create_future())
        try:
            async with asyncio.timeout(max(0.0, deadline.remaining_s)):
                if deadline.expired:
                    raise TimeoutError
                self._enqueue(request, texts)
                self._start_batches()
                return await request.answer
        except TimeoutError as error:
            raise DeadlinePassed(
                f"The deadline passed before {len(texts)} passages were embedded; send a later x-deadline-ms or fewer passages."
            ) from error
        finally:
            if request.missing:
                self._withdraw(request)

    def _enqueue(self, request: _Request, texts: Sequence[str]) -> None:
        since = time.perf_counter()
        for index, text in enumerate(texts):
            passage = _Passage(self._now + index, next(self._serial), index, text, request, since)
            heapq.heappush(self._waiting[len(text).bit_length()], passage)

    def _withdraw(self, request: _Request) -> None:
        """Forgets what nobody waits for any more: its deadline passed, its caller went away, or it failed."""
        for length in list(self._waiting):
            kept = [passage for passage in self._waiting[length] if passage.request is not request]
            heapq.heapify(kept)
            if kept:
                self._waiting[length] = kept
            else:
                del self._waiting[length]

    def _start_batches(self) -> None:
        while self._free and self._waiting:
            self._free -= 1
            task = asyncio.create_task(self._run(self._take_batch()))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    def _take_batch(self) -> list[_Passage]:
        """The passage whose turn it is, and the next ones of its length class; no more than lets every free thread have some."""
        length = min(self._waiting, key=lambda length: self._waiting[length][0])
        queue = self._waiting[length]
        share = -(-sum(map(len, self._waiting.values())) // (self._free + 1))
        batch = [heapq.heappop(queue) for _ in range(min(len(queue), share, self._batch_texts))]
        if not queue:
            del self._waiting[length]
        self._now = max(self._now, batch[0].start)
        self._metrics.queue_wait.observe(time.perf_counter() - min(passage.since for passage in batch))
        return batch

    async def _run(self, batch: list[_Passage]) -> None:
        try:
            await self._embed(batch)
        finally:
            self._free += 1
            self._start_batches()

    async def _embed(self, batch: list[_Passage]) -> None:
        """Delivers the embeddings; when the backend fails, every request of the batch is tried alone, and only the faulty one fails."""
        try:
            rows, broken = await asyncio.get_running_loop().run_in_executor(self._threads, self._call_backend, [p.text for p in batch])
        except Exception as error:
            self._metrics.failed_batches.inc()
            if len(alone := _by_request(batch)) > 1:
                for part in alone:
                    await self._embed(part)
                return
            LOG.error("batch_failed", passages=len(batch), exc_info=error)
            batch[0].request.fail(EmbeddingBroken(f"The model failed on {len(batch)} passages ({type(error).__name__}); it was logged."))
            return
        for passage, row, is_broken in zip(batch, rows, broken, strict=True):
            if is_broken:
                LOG.error("embedding_broken", passage=passage.index)
                passage.request.fail(EmbeddingBroken(f"The embedding of passage {passage.index} is not finite or not unit length."))
            else:
                passage.request.take(passage.index, row)

    def _call_backend(self, texts: list[str]) -> tuple[Embeddings, NDArray[np.bool_]]:
        started = time.perf_counter()
        rows = self._backend.embed(texts)
        if rows.shape != (expected := (len(texts), self._backend.identity.dimension)):
            raise ValueError(f"the backend gave the shape {rows.shape} instead of {expected}")
        self._metrics.inference.observe(time.perf_counter() - started)
        self._metrics.batches.inc()
        self._metrics.texts.inc(len(texts))
        return rows, unusable(rows)


def _by_request(batch: Sequence[_Passage]) -> list[list[_Passage]]:
    parts: dict[int, list[_Passage]] = defaultdict(list)
    for passage in batch:
        parts[id(passage.request)].append(passage)
    return list(parts.values())
