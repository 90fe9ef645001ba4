"""The retriever's routes over any store, on a port of this machine."""

import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from pipelines.suite import free_ports
from retriever.api import ROUTES, STATUSES
from retriever.backends.protocol import Backend
from retriever.metrics import RetrieverMetrics
from retriever.settings import Settings
from retriever.workers import Workers
from servicekit import app as servicekit_app


@contextmanager
def served(store: Backend, state: Path) -> Iterator[str]:
    """The retriever's routes over `store`, at the address that is given."""
    metrics, [port] = RetrieverMetrics(), free_ports(1)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with closing(Workers(2)) as app.state.workers:
            app.state.backend, app.state.proposals = store, settings.candidates_per_source
            yield

    async def ready() -> None:
        store.check()

    settings = Settings(state_dir=state)
    app = servicekit_app.build("retriever", settings, routes=ROUTES, statuses=STATUSES, ready=ready, lifespan=lifespan, metrics=metrics)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_config=None, access_log=False, ws="none"))
    running = threading.Thread(target=server.run)
    running.start()
    while not server.started and running.is_alive():
        time.sleep(0.01)
    assert server.started
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        running.join()
