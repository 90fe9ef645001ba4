"""Puts the retriever together: settings in, application out. Knows nothing of how its parts work."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, closing
from functools import partial

from fastapi import FastAPI

from retriever.api import ROUTES, STATUSES
from retriever.builder import Builder
from retriever.claim import held
from retriever.errors import IndexNotLoaded
from retriever.library import Library
from retriever.maintenance import keep_up
from retriever.metrics import RetrieverMetrics
from retriever.settings import Settings
from retriever.workers import Workers
from servicekit import app as servicekit_app
from servicekit import logs

FILE = "catalogue.sqlite3"
LOG = logs.get(__name__)


def build(settings: Settings) -> FastAPI:
    """The retriever's application; the index is built from the catalogue when it starts up."""
    metrics = RetrieverMetrics()
    opened: list[tuple[Library, Workers]] = []

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        started = time.perf_counter()
        settings.state_dir.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            stack.enter_context(held(settings.state_dir))
            workers = stack.enter_context(closing(Workers(settings.search_threads)))
            opening = partial(Library, settings.state_dir / FILE, settings.borrowed_from, fsync=settings.fsync, kind=settings.index_kind)
            library = stack.enter_context(closing(await workers.write(opening)))
            stack.callback(workers.close)  # before the library, which what was begun still needs
            builder = stack.enter_context(closing(Builder()))
            LOG.info("index_built", items=len(library), seconds=round(time.perf_counter() - started, 3))
            metrics.items.set(len(library))
            metrics.show(library.spaces(), library.generation)
            for state in library.uploads():
                metrics.space_rows.labels(state.name).set(state.rows)
            app.state.library, app.state.workers, app.state.proposals = library, workers, settings.candidates_per_source
            opened.append((library, workers))
            stack.callback(opened.clear)
            building = asyncio.create_task(keep_up(library, workers, builder, settings.build_threads, metrics))
            try:
                yield
            finally:
                building.cancel()
                builder.close()
                await asyncio.gather(building, return_exceptions=True)

    async def ready() -> None:
        if not opened:
            raise IndexNotLoaded("The index has not been built from the catalogue yet; ask again in a second.")
        library, workers = opened[0]
        await workers.search(library.check)

    return servicekit_app.build("retriever", settings, routes=ROUTES, statuses=STATUSES, ready=ready, lifespan=lifespan, metrics=metrics)
