"""Puts the retriever together: settings in, application out. Knows nothing of how its parts work."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from functools import partial

from fastapi import FastAPI

from retriever.api import ROUTES, STATUSES
from retriever.backends.protocol import Store
from retriever.claim import held
from retriever.errors import IndexNotLoaded
from retriever.library import Library
from retriever.loans import LENDERS
from retriever.maintenance import kept_up
from retriever.manifest import CATALOGUE
from retriever.metrics import RetrieverMetrics
from retriever.replication import Unloaded, followed, published
from retriever.settings import Settings
from retriever.workers import Workers
from servicekit import app as servicekit_app
from servicekit import logs

FILE = CATALOGUE
LOG = logs.get(__name__)


def build(settings: Settings) -> FastAPI:
    """The retriever's application; the index is built from the catalogue when it starts up."""
    metrics = RetrieverMetrics()
    opened: list[Store] = []
    served: list[Library] = []

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.backend = Unloaded()
        app.state.proposals = settings.candidates_per_source
        settings.state_dir.mkdir(parents=True, exist_ok=True)

        def answer_from(store: Store) -> None:
            app.state.backend, opened[:] = store, [store]
            metrics.items.set(len(store))
            metrics.show(store.spaces(), store.generation)
            for state in store.uploads():
                metrics.space_rows.labels(state.name).set(state.rows)

        def show(library: Library) -> None:
            """From now on requests are answered from `library`."""
            served[:] = [library]
            answer_from(library)
            LOG.info("index_built", items=len(library), generation=library.generation)

        async with AsyncExitStack() as stack:
            stack.enter_context(held(settings.state_dir))
            app.state.workers = workers = stack.enter_context(closing(Workers(settings.search_threads)))
            if settings.milvus_url:
                store = stack.enter_context(closing(await workers.write(_milvus, settings.milvus_url, settings.index_kind)))
                stack.callback(workers.close)
                await workers.write(answer_from, store)
                LOG.info("milvus_opened", items=len(store), generation=store.generation)
                yield
                return
            opening = partial(Library, lenders=LENDERS, fsync=settings.fsync, kind=settings.index_kind)
            if settings.follow_url:
                await stack.enter_async_context(followed(settings, workers, metrics, opening, show))
            else:
                library = stack.enter_context(closing(await workers.write(opening, settings.state_dir / CATALOGUE)))
                stack.callback(workers.close)  # before the library, which what was begun still needs
                show(library)
                await stack.enter_async_context(published(settings, metrics))
            stack.callback(opened.clear)
            stack.callback(served.clear)
            await stack.enter_async_context(kept_up(lambda: served[0] if served else None, workers, settings.build_threads, metrics))
            yield

    async def ready() -> None:
        if not opened:
            raise IndexNotLoaded("The index has not been built from the catalogue yet; ask again in a second.")
        await app.state.workers.search(opened[0].check)

    app = servicekit_app.build("retriever", settings, routes=ROUTES, statuses=STATUSES, ready=ready, lifespan=lifespan, metrics=metrics)
    return app


def _milvus(url: str, kind: str) -> Store:
    from retriever.backends.milvus import Milvus  # brings pandas and gRPC, which nobody else needs

    return Milvus(url, kind=kind)
