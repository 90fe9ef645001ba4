"""Reads bodies of requests and writes answers. Knows no particular route."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from contracts.wire import Wire
from gateway import errors
from gateway.catalogue import Relayed
from gateway.gateway import Gateway
from gateway.imports import Outcome, RowRefused
from servicekit import openapi, problems

JSON, NDJSON = "application/json", "application/x-ndjson"
JSON_KINDS, NDJSON_KINDS = ("", JSON), (NDJSON, "application/ndjson", "application/jsonl")
INLINE_BYTES = 32 * 1024
"""A longer JSON body is read in a thread."""
Model = TypeVar("Model", bound=Wire)
Value = TypeVar("Value")


def gateway_of(request: Request) -> Gateway:
    opened: Gateway = request.app.state.gateway
    return opened


def media_type(request: Request, *taken: str) -> str:
    """The media type of the body, "" when it has none; raises `MediaTypeUnsupported` when it is not among those `taken`."""
    sent = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if sent not in taken:
        wanted = [name for name in (JSON, NDJSON) if name in taken]
        raise errors.MediaTypeUnsupported(f"Content-Type {sent!r} is not taken here; send {' or '.join(wanted)}.")
    return sent


async def read(body: bytes, reading: Callable[[bytes], Value]) -> Value:
    """What `reading` makes of a body; of a long one in a thread, which FastAPI's own reading of bodies would not do."""
    return reading(body) if len(body) <= INLINE_BYTES else await asyncio.to_thread(reading, body)


def parsed(body: bytes) -> Any:
    """The JSON of a body; raises RequestValidationError when it is none."""
    try:
        return from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise RequestValidationError([{"type": "json_invalid", "loc": ("body",), "msg": "", "ctx": {"error": str(error)}}]) from error


def checked(model: type[Model], sent: Any) -> Model:
    """The body as a wire type; raises RequestValidationError with each place that is wrong."""
    try:
        return model.model_validate(sent)
    except ValidationError as error:
        raise RequestValidationError([{**fault, "loc": ("body", *fault["loc"])} for fault in error.errors()]) from error


def row(model: type[Model], line: bytes) -> Model:
    """One line of an import as a wire type; raises RowRefused."""
    try:
        return model.model_validate_json(line)
    except ValidationError as error:
        raise RowRefused(problems.sentence(problems.violations([{**fault} for fault in error.errors()]))) from error


def reply(model: BaseModel) -> Response:
    """A wire type as JSON; written once and not validated again, which FastAPI would do."""
    return raw(model.model_dump_json().encode())


def raw(content: bytes) -> Response:
    return Response(content, media_type=JSON)


def relayed(answer: Relayed) -> Response:
    return Response(answer.content, answer.status, media_type=answer.media_type)


async def lines(portions: AsyncIterator[Sequence[Outcome]]) -> AsyncIterator[bytes]:
    """What became of each row of an import, as NDJSON."""
    async for portion in portions:
        yield b"".join(map(_line, portion))


def _line(outcome: Outcome) -> bytes:
    fields: dict[str, Any] = {"row": outcome.row, "status": "stored" if outcome.reason is None else "refused"}
    optional = {"id": outcome.id, "reason": outcome.reason}
    return json.dumps(fields | {name: value for name, value in optional.items() if value is not None}).encode() + b"\n"


def takes(**schemas: dict[str, Any]) -> dict[str, Any]:
    """The OpenAPI of a body that the handler reads itself."""
    return openapi.takes({{"json": JSON, "lines": NDJSON}[name]: {"schema": schema} for name, schema in schemas.items()})


def gives(model: Any, **further: Any) -> dict[str, Any]:
    """The OpenAPI of an answer that the handler writes itself."""
    return {"response_model": model, **further}
