"""Keeps the index built while the service runs: asks what is due, has it built, has it put in place. Knows nothing of what is built."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing

from retriever.builder import Builder
from retriever.errors import StorageFailed
from retriever.library import Library
from retriever.metrics import RetrieverMetrics
from retriever.segments.entry import SegmentDamaged
from retriever.upkeep import Job
from retriever.workers import Workers
from servicekit import logs

LOOK_EVERY_S = 0.2
WAIT_AFTER_FAILURE_S = (1, 5, 30, 60)
"""A disk that is full now is not tried again at once."""
LOG = logs.get(__name__)


@asynccontextmanager
async def kept_up(served: Callable[[], Library | None], workers: Workers, threads: int, metrics: RetrieverMetrics) -> AsyncIterator[None]:
    """Keeps the index built inside."""
    with closing(Builder()) as builder:
        building = asyncio.create_task(keep_up(served, workers, builder, threads, metrics))
        try:
            yield
        finally:
            building.cancel()
            builder.close()
            await asyncio.gather(building, return_exceptions=True)


async def keep_up(
    served: Callable[[], Library | None], workers: Workers, builder: Builder, threads: int, metrics: RetrieverMetrics
) -> None:
    """Runs until it is cancelled; `served` is asked each time, as a read replica may replace its library by a newer one."""
    failures, verified = 0, None
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        if (library := served()) is None:
            continue
        try:
            if verified is not library:
                verified = library
                await asyncio.to_thread(_verify, library)
            done = await _look(library, workers, builder, threads, metrics)
        except Exception as error:  # whatever it is, vectors that come later have to be sealed too
            LOG.error("upkeep_failed", reason=f"{type(error).__name__}: {error}")
            done = False
        if done:
            failures = 0
        elif done is not None:
            await asyncio.sleep(WAIT_AFTER_FAILURE_S[min(failures, len(WAIT_AFTER_FAILURE_S) - 1)])
            failures += 1


def _verify(library: Library) -> None:
    try:
        library.verify()
    except StorageFailed as damage:
        LOG.error("catalogue_damaged", reason=str(damage))


async def _look(library: Library, workers: Workers, builder: Builder, threads: int, metrics: RetrieverMetrics) -> bool | None:
    """Does what is most due: whether it was done; None when nothing was due."""
    metrics.items.set(len(library))
    metrics.show(library.spaces(), library.generation)
    if library.next_job() is None and not library.merging:
        return None
    job = await workers.write(library.begin_job)
    return None if job is None else await _done(job, library, workers, builder, threads, metrics)


async def _done(job: Job, library: Library, workers: Workers, builder: Builder, threads: int, metrics: RetrieverMetrics) -> bool:
    started = time.perf_counter()
    asked = job.asked(library.catalogue.path, library.store.folder, threads)
    built = opened = None
    try:
        built = await asyncio.to_thread(builder.run, asked)
        opened = await asyncio.to_thread(job.opened, library.store.folder, built)
    except Exception as error:  # whatever it is, the job has to be ended
        LOG.error("index_build_failed", job=asked["do"], reason=str(error))
    try:
        await workers.write(library.end_job, job, built, opened)
    except (SegmentDamaged, OSError, ValueError) as error:
        LOG.error("index_build_failed", job=asked["do"], reason=str(error))
        built = None
    metrics.builds.labels(asked["do"], "failed" if built is None else "done").observe(time.perf_counter() - started)
    return built is not None
