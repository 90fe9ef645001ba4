"""Puts the encoder together: settings in, application out. Knows nothing of how its parts work."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from encoder import cpus
from encoder.api import ROUTES, STATUSES
from encoder.backends.protocol import Backend, goldens, open_backend
from encoder.batching import Batcher
from encoder.errors import ModelFault
from encoder.metrics import EncoderMetrics
from encoder.readiness import Readiness
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
        threads=settings.threads or backend.ladder.runs or cpus.available(),
        max_queued_tokens=settings.max_queued_tokens,
        recent_bytes=settings.recent_bytes,
        metrics=metrics,
    )
    known = goldens(backend)
    readiness = Readiness(batcher, known)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.batcher, app.state.identity, app.state.ladder = batcher, backend.identity, backend.ladder
        app.state.deadline_ms, app.state.golden_passages = settings.deadline_ms, len(known.texts) if known else 0
        try:
            yield
        finally:
            batcher.close()

    return servicekit_app.build(
        "encoder", settings, routes=ROUTES, statuses=STATUSES, ready=readiness.check, lifespan=lifespan, metrics=metrics
    )
