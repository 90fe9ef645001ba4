"""The routes of the encoder over HTTP. Knows nothing of models or batches."""

import asyncio
import base64
import json
from typing import Annotated

import numpy as np
from fastapi import Header, Request, Response
from fastapi.exceptions import RequestValidationError
from numpy.typing import NDArray
from pydantic import ValidationError

from contracts.encoder import (
    BINARY_MEDIA_TYPE,
    COUNT_HEADER,
    DIMENSION_HEADER,
    FINGERPRINT_HEADER,
    EmbedRequest,
    EmbedResponse,
    EncoderIdentity,
)
from encoder import errors
from encoder.batching import Batcher
from encoder.fingerprint import Identity
from servicekit import context, openapi
from servicekit.app import Route
from servicekit.deadline import HEADER as DEADLINE_HEADER
from servicekit.deadline import Deadline

JSON_MEDIA_TYPE = "application/json"
INLINE_BYTES = 32_768
"""A larger body may take over a millisecond to read, which then happens in a thread."""


async def embed(
    request: Request,
    accept: Annotated[str, Header()] = JSON_MEDIA_TYPE,
    deadline_ms: Annotated[float | None, Header(alias=DEADLINE_HEADER, ge=0, allow_inf_nan=False)] = None,
) -> Response:
    """Embeds 1 to 256 passages: one unit-length float32 embedding each, in order.

    JSON carries every embedding as base64 of little-endian float32. With `Accept: application/vnd.warmstart.embeddings` the body
    is the same bytes row after row, with count, dimension and fingerprint in headers.
    """
    batcher: Batcher = request.app.state.batcher
    identity: Identity = request.app.state.identity
    body = await _read(request)
    deadline = Deadline.after_ms(request.app.state.deadline_ms if deadline_ms is None else deadline_ms)
    with context.stage("embed"):
        embeddings = await batcher.embed(body.texts, deadline)
    return _binary(embeddings, identity) if _wants_binary(accept) else _json(embeddings, identity)


async def fingerprint(request: Request) -> EncoderIdentity:
    """Which space this encoder embeds into; embeddings of different fingerprints must not be compared."""
    identity: Identity = request.app.state.identity
    return EncoderIdentity(
        fingerprint=identity.fingerprint,
        model=identity.model,
        backend=identity.backend,
        dimension=identity.dimension,
        max_tokens=identity.max_tokens,
    )


async def _read(request: Request) -> EmbedRequest:
    """The JSON body; a long one is read in a thread, which FastAPI's own reading of bodies would not do."""
    body = await request.body()
    try:
        if len(body) <= INLINE_BYTES:
            return EmbedRequest.model_validate_json(body)
        return await asyncio.to_thread(EmbedRequest.model_validate_json, body)
    except ValidationError as error:
        raise RequestValidationError([{**fault, "loc": ("body", *fault["loc"])} for fault in error.errors()]) from None


def _wants_binary(accept: str) -> bool:
    return any(part.split(";")[0].strip().lower() == BINARY_MEDIA_TYPE for part in accept.split(","))


def _binary(embeddings: NDArray[np.float32], identity: Identity) -> Response:
    count, dimension = embeddings.shape
    headers = {COUNT_HEADER: str(count), DIMENSION_HEADER: str(dimension), FINGERPRINT_HEADER: identity.fingerprint}
    return Response(embeddings.astype("<f4", copy=False).tobytes(), headers=headers, media_type=BINARY_MEDIA_TYPE)


def _json(embeddings: NDArray[np.float32], identity: Identity) -> Response:
    """An `EmbedResponse`, joined from bytes: through pydantic, 256 embeddings would hold the event loop for tens of milliseconds."""
    rows = b'","'.join(base64.b64encode(row.tobytes()) for row in embeddings.astype("<f4", copy=False))
    rest = json.dumps({"dimension": identity.dimension, "fingerprint": identity.fingerprint}).encode()
    return Response(b'{"embeddings":["' + rows + b'"],' + rest[1:], media_type=JSON_MEDIA_TYPE)


STATUSES: dict[type[Exception], int] = {
    errors.Overloaded: 429,
    errors.DeadlinePassed: 504,
    errors.EmbeddingBroken: 500,
}

EMBEDDINGS = {
    200: {
        "model": EmbedResponse,
        "content": {BINARY_MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}},
        "description": "The embeddings.",
    }
}

BODY = openapi.takes({JSON_MEDIA_TYPE: {"schema": EmbedRequest.model_json_schema()}})

ROUTES: tuple[Route, ...] = (
    Route("POST", "/v1/embed", embed, options={"response_class": Response, "responses": EMBEDDINGS, "openapi_extra": BODY}),
    Route("GET", "/v1/fingerprint", fingerprint),
)
