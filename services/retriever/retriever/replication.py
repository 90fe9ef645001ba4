"""Starts and ends a process's part in replication: publishing, following or neither. Knows nothing of what is told or how.

A library is written by one thread, whoever asks; so a followed change goes the way of every write.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import NoReturn

from retriever import changelog, schema
from retriever.changelog import Change
from retriever.errors import IndexNotLoaded
from retriever.follower import Follower
from retriever.library import Library
from retriever.manifest import CATALOGUE
from retriever.metrics import RetrieverMetrics
from retriever.publisher import Publisher
from retriever.settings import Settings
from retriever.workers import Workers


class Unloaded:
    """Stands where the library will be until a read replica has one: whatever it is asked, it says so."""

    def __getattr__(self, name: str) -> NoReturn:
        raise IndexNotLoaded("This read replica has not restored a snapshot yet; ask again in some seconds, or look at its log.")

    def __len__(self) -> int:
        return int(self.__getattr__("items"))


class Followed:
    """A library of a read replica, written by the thread that writes."""

    def __init__(self, library: Library, workers: Workers) -> None:
        self.library, self._workers = library, workers

    @property
    def generation(self) -> int:
        return self.library.generation

    def apply(self, change: Change) -> None:
        self._workers.write_from_thread(self.library.apply, change)

    def close(self) -> None:
        self.library.close()


@asynccontextmanager
async def published(settings: Settings, metrics: RetrieverMetrics) -> AsyncIterator[None]:
    """Publishes inside, when that is asked for."""
    if not settings.publish_url:
        await asyncio.to_thread(_forget, settings.state_dir / CATALOGUE)
        yield
        return
    publisher = Publisher(
        settings.state_dir,
        settings.publish_url,
        every_s=settings.replicate_every_s,
        snapshot_after=settings.snapshot_after,
        keep=settings.snapshots_kept,
    )
    metrics.unpublished.set_function(publisher.behind_s)
    metrics.published.set_function(publisher.generation)
    metrics.failed_snapshots.set_function(publisher.failed_snapshots)
    publisher.start()
    try:
        yield
    finally:
        await asyncio.to_thread(publisher.close)


def _forget(catalogue: Path) -> None:
    """News is for readers, and there are none; should there be some later, they begin with a snapshot. A full disk keeps it, no harm."""
    with suppress(sqlite3.Error), closing(schema.connect(catalogue)) as connection:
        changelog.forget(connection, changelog.generation_of(connection))


@asynccontextmanager
async def followed(
    settings: Settings, workers: Workers, metrics: RetrieverMetrics, opening: Callable[[Path], Library], show: Callable[[Library], None]
) -> AsyncIterator[None]:
    """Follows inside; `show` is called from another thread with each library that is to be asked from then on."""

    def opened(path: Path) -> Followed:
        library = workers.write_from_thread(opening, path)
        library.follows = settings.follow_url
        return Followed(library, workers)

    follower = Follower(
        settings.state_dir, settings.follow_url, opened, lambda replica: show(replica.library), every_s=settings.replicate_every_s
    )
    metrics.replica_lag.set_function(follower.lag_s)
    await asyncio.to_thread(follower.start)
    try:
        yield
    finally:
        await asyncio.to_thread(follower.close)
