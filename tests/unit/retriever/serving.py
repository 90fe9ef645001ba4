"""The routes of the retriever over a backend in memory. Knows no particular test."""

import base64
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
from fastapi import FastAPI
from tests.fakes.memory_backend import MemoryBackend

from retriever.api import ROUTES, STATUSES
from retriever.metrics import RetrieverMetrics
from retriever.settings import Settings
from retriever.workers import Workers
from servicekit import app as servicekit_app

LINES = {"content-type": "application/x-ndjson"}


@asynccontextmanager
async def serving(store: MemoryBackend, folder: Path, **chosen: Any) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the routes; `chosen` settings."""
    settings = Settings(state_dir=folder, **chosen)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with closing(Workers(settings.search_threads)) as workers:
            app.state.backend, app.state.workers = store, workers
            yield

    async def ready() -> None:
        store.check()

    metrics = RetrieverMetrics()
    app = servicekit_app.build("retriever", settings, routes=ROUTES, statuses=STATUSES, ready=ready, lifespan=lifespan, metrics=metrics)
    async with app.router.lifespan_context(app), httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test") as client:
        yield client


def packed(*rows: Sequence[float]) -> str:
    """Base64 of little-endian float32, row after row."""
    return base64.b64encode(np.array(rows, "<f4").tobytes()).decode()


def ndjson(*rows: Any) -> bytes:
    return b"\n".join(json.dumps(row).encode() for row in rows)


def unit(angle: float) -> list[float]:
    """The point of the circle at `angle` degrees."""
    return [float(np.cos(np.radians(angle))), float(np.sin(np.radians(angle)))]
