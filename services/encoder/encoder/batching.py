"""Answers requests for embeddings: admits, looks up, tokenises, queues and awaits. Knows no HTTP and no model.

A permit is taken before any work starts (admission.py). Texts that were embedded lately are answered from memory (recent.py), the others
are tokenised once, wait for their turn (waiting.py) and are run together with those of other requests (running.py).
"""

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from encoder.admission import Admission, Permit
from encoder.backends.protocol import Backend
from encoder.errors import DeadlinePassed, EmbeddingBroken
from encoder.metrics import EncoderMetrics
from encoder.recent import Recent
from encoder.request import Priority, Request
from encoder.running import Queued, Runner
from servicekit import context, logs
from servicekit.deadline import Deadline

LOG = logs.get(__name__)
INLINE_CHARACTERS = 1_024
"""More may take over a millisecond to tokenise, which then happens in a thread."""
Embeddings = NDArray[np.float32]


class Embedded(NamedTuple):
    """Unit-length float32 `(n, dim)` in the order of the texts, and their tokens as the model takes them."""

    embeddings: Embeddings
    tokens: int


class Batcher:
    """The one place where the backend is called; `threads` batches run at once. Used on one event loop."""

    def __init__(self, backend: Backend, *, threads: int, max_queued_tokens: int, recent_bytes: int, metrics: EncoderMetrics) -> None:
        self._backend, self._metrics = backend, metrics
        self.admission = Admission(max_queued_tokens, backend.identity.max_tokens, metrics)
        self._recent = Recent(recent_bytes, backend.identity.fingerprint)
        metrics.recent_bytes.set_function(lambda: self._recent.held)
        self._tokenisers = ThreadPoolExecutor(threads, thread_name_prefix="tokenise")
        self._runner = Runner(backend, threads, self._recent, metrics)

    async def embed(self, texts: Sequence[str], deadline: Deadline, priority: Priority = Priority.ONLINE) -> Embedded:
        """The embeddings of the texts, in order.

        Raises `Overloaded` when too much is held, `DeadlinePassed`, and `EmbeddingBroken` when the model fails on these.
        """
        with self.admission.admitted(texts, priority) as permit:
            return await self._answer(texts, deadline, priority, permit)

    async def embed_anew(self, texts: Sequence[str], deadline: Deadline) -> Embeddings:
        """As `embed`, but the model runs every text, and runs it also when the queue is full: for checks."""
        return (await self._answer(texts, deadline, Priority.ONLINE, None)).embeddings

    def close(self) -> None:
        """Lets running batches finish, starts no more, and closes the backend."""
        self._tokenisers.shutdown(wait=True, cancel_futures=True)
        self._runner.close()
        self._backend.close()

    async def _answer(self, texts: Sequence[str], deadline: Deadline, priority: Priority, permit: Permit | None) -> Embedded:
        """Without a permit nothing is answered from memory, nor shared."""
        rows = np.empty((len(texts), self._backend.identity.dimension), np.float32)
        request = Request(rows, deadline, priority, asyncio.get_running_loop().create_future())
        try:
            async with asyncio.timeout(max(0.0, deadline.remaining_s)):
                if deadline.expired:
                    raise TimeoutError
                todo = await self._prepare(request, texts, anew=permit is None)
                tokens = self._runner.enqueue(request, todo) if todo else 0
                if permit:
                    self.admission.correct(permit, tokens)
                return Embedded(await request.answer, request.tokens)
        except TimeoutError as error:
            raise DeadlinePassed(
                f"The deadline passed before {len(texts)} passages were embedded; send a later x-deadline-ms or fewer passages."
            ) from error
        finally:
            self._finish(request)

    async def _prepare(self, request: Request, texts: Sequence[str], anew: bool) -> list[Queued]:
        """Answers what is known; returns what is to be run."""
        with context.stage("tokenise"), self._metrics.tokenisation.time():
            if sum(map(len, texts)) <= INLINE_CHARACTERS:
                known, todo = self._tokenise(request, texts, anew)
            else:
                loop = asyncio.get_running_loop()
                known, todo = await loop.run_in_executor(self._tokenisers, self._tokenise, request, texts, anew)
        for index, embedding in known:
            request.take(index, embedding)
        self._metrics.recent_hits.inc(len(known))
        return todo

    def _tokenise(self, request: Request, texts: Sequence[str], anew: bool) -> tuple[list[tuple[int, Embeddings]], list[Queued]]:
        """What is known and what is to be run, up to where nobody waits any more. On one thread, whatever the tokeniser would like."""
        known: list[tuple[int, Embeddings]] = []
        todo: list[Queued] = []
        contents: dict[bytes, Any] = {}
        for index, text in enumerate(texts):
            if not request.wanted(time.monotonic()):
                break
            key = b"" if anew else self._recent.key(text)
            if (found := self._recent.get(key)) is not None:
                known.append((index, found.embedding))
                request.tokens += found.tokens
                continue
            content = contents.get(key)
            if content is None:
                content = self._tokenised(text, index)
                if key:
                    contents[key] = content
            todo.append((index, key, content))
            request.tokens += len(content)
        return known, todo

    def _tokenised(self, text: str, index: int) -> Any:
        try:
            return self._backend.tokenise(text)
        except Exception as error:
            LOG.error("tokenising_failed", passage=index, exc_info=error)
            raise EmbeddingBroken(f"The model can not take passage {index} ({type(error).__name__}); it was logged.") from error

    def _finish(self, request: Request) -> None:
        request.over = True
        if request.missing:
            self._metrics.dropped_texts.inc(request.missing)
            self._runner.drop(request)
        request.passages.clear()  # which refer to it
        queue, run = request.waited(time.perf_counter())
        context.spent("queue", queue)
        context.spent("run", run)
