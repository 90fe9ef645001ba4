"""Keeps the index built while the service runs: asks what is due, has it built, has it put in place. Knows nothing of what is built."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager, closing
from dataclasses import dataclass

from retriever import heap
from retriever.builder import Builder
from retriever.errors import StorageFailed
from retriever.library import Library
from retriever.metrics import RetrieverMetrics
from retriever.segments.entry import SegmentDamaged
from retriever.upkeep import Job, Lane
from retriever.workers import Workers
from servicekit import logs

LOOK_EVERY_S = 0.2
WAIT_AFTER_FAILURE_S = (1, 5, 30, 60)
"""A disk that is full now is not tried again at once."""
NICENESS: dict[Lane, int] = {"quick": 5, "long": 15, "base": 15}
"""What waits to be sealed is scanned by every search, so it is not kept waiting for long."""
POURED_PER_S, POURED_FOR_S = 5_000, 5.0
"""Vectors; more are an import, which is not slowed down by building graphs. It is taken to go on for so long, for bodies have gaps."""
REST_AFTER_S = 10.0
"""A child with nothing to do ends, for it keeps the memory that its largest job took."""
LOG = logs.get(__name__)


@asynccontextmanager
async def kept_up(served: Callable[[], Library | None], workers: Workers, threads: int, metrics: RetrieverMetrics) -> AsyncIterator[None]:
    """Keeps the index built inside. `served` is asked each time, as a read replica may replace its library by a newer one."""
    with ExitStack() as stack:
        builders = {lane: stack.enter_context(closing(Builder(niceness))) for lane, niceness in NICENESS.items()}
        running = [asyncio.create_task(_verified(served))]
        running += [
            asyncio.create_task(_Upkeep(served, workers, builder, threads, metrics, lane).run()) for lane, builder in builders.items()
        ]
        try:
            yield
        finally:
            for task in running:
                task.cancel()
            stack.close()
            await asyncio.gather(*running, return_exceptions=True)


async def _verified(served: Callable[[], Library | None]) -> None:
    """Reads every catalogue that comes to be served, once."""
    verified = None
    while True:
        if (library := served()) is not verified and library is not None:
            verified = library
            await asyncio.to_thread(_verify, library)
        await asyncio.sleep(LOOK_EVERY_S)


def _verify(library: Library) -> None:
    try:
        library.verify()
    except StorageFailed as damage:
        LOG.error("catalogue_damaged", reason=str(damage))


@dataclass
class _Upkeep:
    """What keeps one lane going."""

    served: Callable[[], Library | None]
    workers: Workers
    builder: Builder
    threads: int
    metrics: RetrieverMetrics
    lane: Lane
    _poured: int = 0
    _looked: float = 0.0
    _poured_until: float = 0.0

    async def run(self) -> None:
        """Until it is cancelled."""
        failures, busy = 0, time.monotonic()
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            if (library := self.served()) is None:
                continue
            try:
                done = await self._look(library)
            except Exception as error:  # whatever it is, vectors that come later have to be sealed too
                LOG.error("upkeep_failed", reason=f"{type(error).__name__}: {error}")
                done = False
            if done is not None:
                busy = time.monotonic()
            elif time.monotonic() - busy > REST_AFTER_S and self.builder.pid:
                self.builder.rest()
                await asyncio.to_thread(heap.shrink)
            if done:
                failures = 0
            elif done is not None:
                await asyncio.sleep(WAIT_AFTER_FAILURE_S[min(failures, len(WAIT_AFTER_FAILURE_S) - 1)])
                failures += 1

    async def _look(self, library: Library) -> bool | None:
        """Does what is most due: whether it was done; None when nothing was due."""
        if self.lane == "quick":
            self.metrics.items.set(len(library))
            self.metrics.show(library.spaces(), library.generation)
        poured = self._is_pouring(library)
        if not any(job.lane == self.lane for job in library.due(poured=poured)) and not (library.merging and not library.jobs):
            return None
        job = await self.workers.write(library.begin_job, self.lane, poured=poured)
        return None if job is None else await self._done(job, library)

    def _is_pouring(self, library: Library) -> bool:
        now, poured = time.monotonic(), library.poured
        pace = (poured - self._poured) / max(now - self._looked, LOOK_EVERY_S)
        self._looked, self._poured = now, poured
        if pace > POURED_PER_S:
            self._poured_until = now + POURED_FOR_S
        return now < self._poured_until

    async def _done(self, job: Job, library: Library) -> bool:
        started = time.perf_counter()
        asked = job.asked(library.catalogue.path, library.store.folder, self.threads)
        built = opened = None
        try:
            built = await asyncio.to_thread(self.builder.run, asked)
            opened = await asyncio.to_thread(job.opened, library.store.folder, built)
        except Exception as error:  # whatever it is, the job has to be ended
            LOG.error("index_build_failed", job=asked["do"], reason=str(error))
        try:
            await self.workers.write(library.end_job, job, built, opened)
        except (SegmentDamaged, OSError, ValueError) as error:
            LOG.error("index_build_failed", job=asked["do"], reason=str(error))
            built = None
        self.metrics.builds.labels(asked["do"], "failed" if built is None else "done").observe(time.perf_counter() - started)
        return built is not None
