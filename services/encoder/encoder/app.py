"""Puts the encoder together: settings in, application out. Knows nothing of how its parts work."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from encoder import cpus
from encoder.api import ROUTES, STATUSES
from encoder.backends.protocol import Backend, open_backend
from encoder.batching import Batcher
from encoder.errors import ModelFault
from encoder.metrics import EncoderMetrics
from encoder.settings import Settings
from servicekit import app as servicekit_app


def build(settings: Settings) -> FastAPI:
    """The encoder's application; exits with status 1 and one line when the model can not be opened."""
    metrics = EncoderMetrics()
    try:
        backend = open_backend(settings, metrics.observe_run)
    except ModelFault as fault:
        raise SystemExit(f"encoder: {type(fault).__name__}: {fault}") from None
    return assemble(settings, backend, metrics)


def assemble(settings: Settings, backend: Backend, metrics: EncoderMetrics) -> FastAPI:
    """The application over an open backend."""
    batcher = Batcher(
        backend,
        threads=settings.threads or cpus.available(),
        batch_texts=settings.batch_texts,
        max_queued_texts=settings.max_queued_texts,
        metrics=metrics,
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.batcher, app.state.identity, app.state.deadline_ms = batcher, backend.identity, settings.deadline_ms
        try:
            yield
        finally:
            batcher.close()

    return servicekit_app.build(
        "encoder", settings, routes=ROUTES, statuses=STATUSES, ready=batcher.check, lifespan=lifespan, metrics=metrics
    )
