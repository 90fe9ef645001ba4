"""Runs what waits on as many threads as batches may run at once. Knows nothing of texts, tokenising and permits.

A thread takes what is there, runs it, and takes again without asking the event loop, which only delivers.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoder.backends.protocol import Backend
from encoder.canary import unusable
from encoder.errors import EmbeddingBroken
from encoder.metrics import EncoderMetrics
from encoder.recent import Recent
from encoder.request import Priority, Request
from encoder.waiting import Passage, Waiting
from servicekit import logs

LOG = logs.get(__name__)
Embeddings = NDArray[np.float32]
Queued = tuple[int, bytes, Any]
"""A passage to be run: its index among the request's texts, its key, and it as the backend tokenised it."""
_Outcome = tuple[Passage, Embeddings | EmbeddingBroken | None]
"""A passage and its embedding `(dim,)`; the error of its batch; None where what came out is no embedding."""


class Runner:
    """Used on one event loop; what it learns it tells the requests and keeps in `recent`."""

    def __init__(self, backend: Backend, threads: int, recent: Recent, metrics: EncoderMetrics) -> None:
        self._backend, self._recent, self._metrics = backend, recent, metrics
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="embed")
        self._lock = Lock()
        """Around the queue and the two numbers."""
        self._waiting = Waiting(backend.ladder)
        self._idle, self._woken = threads, 0

    def enqueue(self, request: Request, passages: Sequence[Queued]) -> int:
        """Queues and wakes as many idle threads as have something to do; returns the tokens that are to be run because of it."""
        with self._lock:
            before = len(self._waiting)
            tokens = self._waiting.add(request, passages)
            shared = before + len(passages) - len(self._waiting)
            waking = max(0, min(self._idle, len(self._waiting) - self._woken))
            self._idle -= waking
            self._woken += waking
        self._metrics.shared_texts.inc(shared)
        loop = asyncio.get_running_loop()
        for _ in range(waking):
            self._threads.submit(self._work, loop)
        return tokens

    def drop(self, request: Request) -> None:
        """Nobody waits for the request any more."""
        with self._lock:
            self._waiting.drop(request)

    def close(self) -> None:
        """Lets running batches finish and starts no more."""
        with self._lock:
            self._waiting = Waiting(self._backend.ladder)
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        """What a thread does from when it is woken until nothing waits."""
        woken = True
        while batch := self._take(woken):
            woken = False
            loop.call_soon_threadsafe(self._deliver, self._run(batch))

    def _take(self, woken: bool) -> list[Passage]:
        with self._lock:
            batch = self._waiting.take(self._idle + self._woken + (not woken))
            self._woken -= woken
            self._idle += not batch
            now = time.perf_counter()
            for request in _requests(batch):
                request.begun = request.begun or now
                bulk = request.priority is Priority.BULK
        if batch:
            waited = self._metrics.bulk_queue_wait if bulk else self._metrics.queue_wait
            waited.observe(now - min(passage.since for passage in batch))
        return batch

    def _run(self, batch: list[Passage]) -> list[_Outcome]:
        """The embedding of each; when the backend fails, every request's passages are tried alone, and only the faulty ones fail."""
        try:
            rows, useless = self._call_backend([passage.content for passage in batch])
        except Exception as error:
            self._metrics.failed_batches.inc()
            if len(alone := _by_request(batch)) > 1:
                return [outcome for part in alone if _wanted(part) for outcome in self._run(part)]
            LOG.error("batch_failed", passages=len(batch), exc_info=error)
            for request in _requests(batch):
                request.over = True  # here already, so that no thread goes on with the rest of it
            broken = EmbeddingBroken(f"The model failed on {len(batch)} passages ({type(error).__name__}); it was logged.")
            return [(passage, broken) for passage in batch]
        return [(passage, None if bad else row) for passage, row, bad in zip(batch, rows, useless, strict=True)]

    def _call_backend(self, contents: Sequence[Any]) -> tuple[Embeddings, NDArray[np.bool_]]:
        started = time.perf_counter()
        rows = self._backend.run(contents)
        if rows.shape != (expected := (len(contents), self._backend.identity.dimension)):
            raise ValueError(f"the backend gave the shape {rows.shape} instead of {expected}")
        self._metrics.inference.observe(time.perf_counter() - started)
        self._metrics.batches.inc()
        self._metrics.texts.inc(len(contents))
        return rows, unusable(rows)

    def _deliver(self, outcomes: Sequence[_Outcome]) -> None:
        """Gives every request its own. On the event loop."""
        for passage, outcome in outcomes:
            if outcome is None:
                LOG.error("embedding_broken", tokens=passage.tokens)
            for request, index in passage.takers:
                if outcome is None:
                    request.fail(EmbeddingBroken(f"The embedding of passage {index} is not finite or not unit length."))
                elif isinstance(outcome, EmbeddingBroken):
                    request.fail(outcome)
                else:
                    request.take(index, outcome)
            if passage.key and isinstance(outcome, np.ndarray):
                self._recent.put(passage.key, outcome, passage.tokens)


def _requests(batch: Sequence[Passage]) -> Iterator[Request]:
    return (request for passage in batch for request, _ in passage.takers)


def _wanted(batch: Sequence[Passage]) -> bool:
    now = time.monotonic()
    return any(passage.wanted(now) for passage in batch)


def _by_request(batch: Sequence[Passage]) -> list[list[Passage]]:
    """The passages of each request, and alone each one that several requests take."""
    parts: dict[int, list[Passage]] = defaultdict(list)
    for passage in batch:
        takers = {id(request) for request in _requests([passage])}
        parts[takers.pop() if len(takers) == 1 else id(passage)].append(passage)
    return list(parts.values())
