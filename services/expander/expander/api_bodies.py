"""Reads what the expander's requests carry. Knows nothing of how topics are found."""

import asyncio
import math
from collections.abc import Sequence
from typing import Any, TypeVar

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from pydantic_core import to_json

from contracts.expander import CALLER_HEADER, HistoryItem
from contracts.wire import Wire
from expander.interests import Asked, Liked
from servicekit import openapi
from servicekit.deadline import HEADER as DEADLINE_HEADER
from servicekit.deadline import Deadline

INLINE_BYTES = 32_768
"""A larger body may take over a millisecond to read, which then happens in a thread."""
MAX_CALLER_CHARACTERS = 128
Body = TypeVar("Body", bound=Wire)
HEADERS = [
    {
        "name": DEADLINE_HEADER,
        "in": "header",
        "description": "Milliseconds that the caller waits; it shortens `deadline_ms`.",
        "schema": {"type": "number", "minimum": 0},
    },
    {
        "name": CALLER_HEADER,
        "in": "header",
        "description": "Who is charged for tokens: any name that stands for one API key. Callers without one share a budget.",
        "schema": {"type": "string", "maxLength": MAX_CALLER_CHARACTERS},
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


def deadline(request: Request, asked_ms: float) -> Deadline:
    """The earlier of the body's deadline and the header's; raises `RequestValidationError`."""
    if (sent := request.headers.get(DEADLINE_HEADER)) is None:
        return Deadline.after_ms(asked_ms)
    try:
        milliseconds = float(sent)
    except ValueError:
        milliseconds = math.nan
    if not (math.isfinite(milliseconds) and milliseconds >= 0):
        why = "is no number of milliseconds from 0 on; send one or leave it out"
        raise RequestValidationError([{"type": "value_error", "loc": ("header", DEADLINE_HEADER), "msg": why, "input": sent}])
    return Deadline.after_ms(min(asked_ms, milliseconds))


def caller(request: Request) -> str:
    """Who is charged; "" when the request does not say. Raises `RequestValidationError`."""
    name = request.headers.get(CALLER_HEADER, "").strip()
    if len(name) > MAX_CALLER_CHARACTERS:
        why = f"has more than {MAX_CALLER_CHARACTERS} characters; send a shorter name"
        raise RequestValidationError([{"type": "value_error", "loc": ("header", CALLER_HEADER), "msg": why, "input": name}])
    return name


def interests(
    texts: Sequence[str], history: Sequence[HistoryItem] = (), locale: str | None = None, user_id: str | None = None
) -> list[Asked]:
    """What is asked for: one per text, or one without words when there is only a history."""
    liked = tuple(Liked(one.title, one.stars, one.review) for one in history)
    return [Asked(text, liked, locale, user_id) for text in texts or ("",)]


def answer(content: Any) -> Response:
    """JSON of plain values and dataclasses; written once and not validated, as FastAPI would. A test reads it by the contract."""
    return Response(to_json(content), media_type="application/json")


def described(body: type[BaseModel], reply: type[BaseModel], what: str) -> dict[str, Any]:
    """Options of a route that reads and writes its own bodies."""
    return {
        "response_class": Response,
        "responses": {200: {"description": what, "model": reply}},
        "openapi_extra": {
            **openapi.takes({"application/json": {"schema": openapi.in_place(body.model_json_schema())}}),
            "parameters": HEADERS,
        },
    }
