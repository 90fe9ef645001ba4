"""Reads bodies of requests and writes answers. Knows no particular route."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from pydantic_core import to_json
from starlette.datastructures import State

from retriever.backends.protocol import Store
from retriever.errors import Overloaded
from retriever.metrics import RetrieverMetrics
from retriever.workers import Workers
from servicekit import openapi

Body = TypeVar("Body", bound=BaseModel)
INLINE_BYTES = 32_768
"""A larger body takes over a millisecond to read, which then happens in a thread."""
PORTION_BYTES = 2**20
"""Of a body of lines, read at once in a thread."""
LINES = "application/x-ndjson"


def backend(request: Request) -> Store:
    store: Store = request.app.state.backend
    return store


def workers(request: Request) -> Workers:
    threads: Workers = request.app.state.workers
    return threads


def metrics(request: Request) -> RetrieverMetrics:
    kept: RetrieverMetrics = request.app.state.metrics
    return kept


def too_many_searches(state: State, coming: int) -> str | None:
    """The gate of routes that search: a refusal costs little before the request is looked at."""
    threads: Workers | None = getattr(state, "workers", None)
    return threads.admission.too_many(coming) if threads else None


@contextmanager
def admitted(request: Request) -> Iterator[Workers]:
    """What a search runs in, and is counted; raises Overloaded when too many are being worked on or wait."""
    threads = workers(request)
    try:
        with threads.admission.admitted():
            yield threads
    except Overloaded:
        metrics(request).overloaded.inc()
        raise


async def read(request: Request, kind: type[Body]) -> Body:
    """The JSON body; a long one is read in a thread, which FastAPI's own reading of bodies would not do."""
    body = await request.body()
    try:
        if len(body) <= INLINE_BYTES:
            return kind.model_validate_json(body)
        return await workers(request).read(kind.model_validate_json, body)
    except ValidationError as error:
        raise refused(error) from None


def refused(error: ValidationError) -> RequestValidationError:
    """What is answered as a problem with its violations."""
    return RequestValidationError([{**fault, "loc": ("body", *fault["loc"])} for fault in error.errors()])


async def portions(request: Request) -> AsyncIterator[bytes]:
    """The body as it comes, in pieces of about PORTION_BYTES; the last may be empty."""
    gathered = bytearray()
    async for chunk in request.stream():
        gathered += chunk
        if len(gathered) >= PORTION_BYTES:
            yield bytes(gathered)
            gathered.clear()
    yield bytes(gathered)


def answer(content: Any) -> Response:
    """JSON of a model, or of plain values; written once and not validated again, which FastAPI would do."""
    return Response(to_json(content), media_type="application/json")


def takes(media_types: dict[str, type[BaseModel]]) -> dict[str, Any]:
    """Documents a body that the handler reads itself."""
    schemas = {media: {"schema": openapi.in_place(kind.model_json_schema())} for media, kind in media_types.items()}
    return {"openapi_extra": openapi.takes(schemas)}
