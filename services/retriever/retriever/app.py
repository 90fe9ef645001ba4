"""Puts the retriever together: settings in, application out. Knows nothing of how its parts work."""

import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, closing

from fastapi import FastAPI

from retriever.api import ROUTES, STATUSES
from retriever.claim import held
from retriever.errors import IndexNotLoaded
from retriever.library import Library
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
            library = stack.enter_context(closing(await workers.write(Library, settings.state_dir / FILE, settings.borrowed_from)))
            stack.callback(workers.close)  # before the library, which what was begun still needs
            LOG.info("index_built", items=len(library.view), seconds=round(time.perf_counter() - started, 3))
            metrics.items.set(len(library.view))
            for state in library.spaces():
                metrics.space_rows.labels(state.name).set(state.rows)
            app.state.library, app.state.workers, app.state.proposals = library, workers, settings.candidates_per_source
            opened.append((library, workers))
            stack.callback(opened.clear)
            yield

    async def ready() -> None:
        if not opened:
            raise IndexNotLoaded("The index has not been built from the catalogue yet; ask again in a second.")
        library, workers = opened[0]
        await workers.search(library.check)

    return servicekit_app.build("retriever", settings, routes=ROUTES, statuses=STATUSES, ready=ready, lifespan=lifespan, metrics=metrics)
