"""The routes of the encoder over HTTP. Knows nothing of models or batches."""

import base64
import json
from typing import Any

import numpy as np
from fastapi import Request, Response
from numpy.typing import NDArray
from starlette.datastructures import State

from contracts.encoder import (
    BINARY_MEDIA_TYPE,
    COUNT_HEADER,
    DIMENSION_HEADER,
    FINGERPRINT_HEADER,
    EmbeddingsRequest,
    EmbeddingsResponse,
    EmbedRequest,
    EmbedResponse,
    EncoderIdentity,
    EncoderModel,
    LadderSteps,
)
from encoder import api_bodies, errors, matryoshka
from encoder.api_openai import JSON_MEDIA_TYPE, create_embeddings
from encoder.batching import Batcher
from encoder.fingerprint import Identity
from encoder.ladder import Ladder
from servicekit import openapi
from servicekit.app import Route


async def embed(request: Request) -> Response:
    """Embeds 1 to 256 passages: one unit-length float32 embedding each, in order. A blank passage is refused.

    JSON carries every embedding as base64 of little-endian float32. With `Accept: application/vnd.warmstart.embeddings` the body
    is the same bytes row after row, with count, dimension and fingerprint in headers.
    """
    batcher: Batcher = request.app.state.batcher
    body = await api_bodies.read(request, EmbedRequest)
    space = matryoshka.space(request.app.state.identity, body.dimensions)
    until, priority = api_bodies.deadline(request), api_bodies.priority(request)
    async with api_bodies.while_waited_for(request):
        embedded = await batcher.embed(body.texts, until, priority)
    rows = matryoshka.cut(embedded.embeddings, space.dimension).astype("<f4", copy=False)
    return _binary(rows, space) if _wants_binary(request.headers.get("accept", "")) else _json(rows, space)


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


async def model(request: Request) -> EncoderModel:
    """What is served and how: fingerprint, precision, the dimensions that may be asked for, and which passages share batches."""
    identity: Identity = request.app.state.identity
    ladder: Ladder = request.app.state.ladder
    return EncoderModel(
        **(await fingerprint(request)).model_dump(),
        precision=identity.precision,
        pooling=identity.pooling,
        normalisation=identity.normalisation,
        prefix=identity.prefix,
        dimensions={one: identity.cut(one).fingerprint for one in (identity.dimension, *identity.dimensions)},
        ladder=LadderSteps(lengths=ladder.lengths, texts=ladder.texts, positions=ladder.positions),
        golden_passages=request.app.state.golden_passages,
    )


def too_much_waits(state: State, coming: int) -> str | None:
    """The gate of what embeds: why nothing more is let in."""
    batcher: Batcher = state.batcher
    return batcher.admission.refusal(coming=coming)


def _wants_binary(accept: str) -> bool:
    return any(part.split(";")[0].strip().lower() == BINARY_MEDIA_TYPE for part in accept.split(","))


def _binary(rows: NDArray[np.float32], space: Identity) -> Response:
    count, dimension = rows.shape
    headers = {COUNT_HEADER: str(count), DIMENSION_HEADER: str(dimension), FINGERPRINT_HEADER: space.fingerprint}
    return Response(rows.tobytes(), headers=headers, media_type=BINARY_MEDIA_TYPE)


def _json(rows: NDArray[np.float32], space: Identity) -> Response:
    """An `EmbedResponse`, joined from bytes: through pydantic, 256 embeddings would hold the event loop for tens of milliseconds."""
    encoded = b'","'.join(base64.b64encode(row.tobytes()) for row in rows)
    rest = json.dumps({"dimension": space.dimension, "fingerprint": space.fingerprint}).encode()
    return Response(b'{"embeddings":["' + encoded + b'"],' + rest[1:], media_type=JSON_MEDIA_TYPE)


def _described(body: type[EmbedRequest] | type[EmbeddingsRequest], answer: dict[str, Any]) -> dict[str, Any]:
    """Options of a route that reads and writes its own bodies."""
    return {
        "response_class": Response,
        "responses": {200: {"description": "The embeddings.", **answer}},
        "openapi_extra": {
            **openapi.takes({JSON_MEDIA_TYPE: {"schema": openapi.in_place(body.model_json_schema())}}),
            "parameters": api_bodies.HEADERS,
        },
    }


STATUSES: dict[type[Exception], int] = {
    errors.Overloaded: 429,
    errors.DeadlinePassed: 504,
    errors.EmbeddingBroken: 500,
    errors.ModelUnknown: 404,
    errors.DimensionUnsupported: 422,
}

BINARY = {BINARY_MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}}

ROUTES: tuple[Route, ...] = (
    Route(
        "POST",
        "/v1/embed",
        embed,
        options=_described(EmbedRequest, {"model": EmbedResponse, "content": BINARY}),
        plain=True,
        gate=too_much_waits,
    ),
    Route(
        "POST",
        "/v1/embeddings",
        create_embeddings,
        options=_described(EmbeddingsRequest, {"model": EmbeddingsResponse}),
        plain=True,
        gate=too_much_waits,
    ),
    Route("GET", "/v1/model", model),
    Route("GET", "/v1/fingerprint", fingerprint),
)
