"""Reads what the encoder's requests carry, and notices when their callers leave. Knows nothing of models or batches."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.requests import ClientDisconnect

from contracts.encoder import PRIORITY_HEADER
from contracts.wire import Wire
from encoder.request import Priority
from servicekit.deadline import HEADER as DEADLINE_HEADER
from servicekit.deadline import Deadline

INLINE_BYTES = 32_768
"""A larger body may take over a millisecond to read, which then happens in a thread."""
Body = TypeVar("Body", bound=Wire)
_NUMBER = {"type": "number", "minimum": 0}
HEADERS = [
    {
        "name": DEADLINE_HEADER,
        "in": "header",
        "description": "Milliseconds that the caller waits; then 504, and what was not embedded yet is not embedded.",
        "schema": _NUMBER,
    },
    {
        "name": PRIORITY_HEADER,
        "in": "header",
        "description": "`bulk` passages get what online ones leave, and a sixteenth of the tokens when those leave nothing.",
        "schema": {"type": "string", "enum": [priority.value for priority in Priority], "default": Priority.ONLINE.value},
    },
]
"""For the OpenAPI description."""


async def read(request: Request, kind: type[Body]) -> Body:
    """The JSON body; raises `RequestValidationError`."""
    body = await request.body()
    try:
        if len(body) <= INLINE_BYTES:
            return kind.model_validate_json(body)
        return await asyncio.to_thread(kind.model_validate_json, body)
    except ValidationError as error:
        raise RequestValidationError([{**fault, "loc": ("body", *fault["loc"])} for fault in error.errors()]) from None


def deadline(request: Request) -> Deadline:
    """Of the header, else the one that is set; raises `RequestValidationError`."""
    if (sent := request.headers.get(DEADLINE_HEADER)) is None:
        return Deadline.after_ms(request.app.state.deadline_ms)
    try:
        milliseconds = float(sent)
    except ValueError:
        milliseconds = math.nan
    if not (math.isfinite(milliseconds) and milliseconds >= 0):
        raise _refused(DEADLINE_HEADER, "is no number of milliseconds from 0 on; send one or leave it out", sent)
    return Deadline.after_ms(milliseconds)


def priority(request: Request) -> Priority:
    """Of the header, else online; raises `RequestValidationError`."""
    sent = request.headers.get(PRIORITY_HEADER, Priority.ONLINE.value)
    try:
        return Priority(sent.strip().lower())
    except ValueError:
        raise _refused(PRIORITY_HEADER, "is neither online nor bulk; send one of them or leave it out", sent) from None


def _refused(header: str, why: str, sent: str) -> RequestValidationError:
    return RequestValidationError([{"type": "value_error", "loc": ("header", header), "msg": why, "input": sent}])


@asynccontextmanager
async def while_waited_for(request: Request) -> AsyncIterator[None]:
    """Ends what is inside with `ClientDisconnect` as soon as the caller closes the connection. After the body was read."""
    task, left = asyncio.current_task(), False
    assert task is not None

    async def watch() -> None:
        nonlocal left
        while (await request.receive())["type"] != "http.disconnect":
            pass
        left = True
        task.cancel()

    watcher = asyncio.create_task(watch())
    try:
        yield
    except asyncio.CancelledError:
        if left and task.uncancel() == 0:
            raise ClientDisconnect from None
        raise
    finally:
        watcher.cancel()
