"""The route that OpenAI's clients call. Knows nothing of models or batches.

The protocol is that of https://platform.openai.com/docs/api-reference/embeddings. Errors are problem details, from whose status the clients
make their own, with the member `error` (an extension, RFC 9457, section 3.2) that the clients take their text from.
"""

import asyncio
import base64
import json

import numpy as np
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from numpy.typing import NDArray
from pydantic_core import to_json

from contracts.encoder import FINGERPRINT_HEADER, EmbeddingsRequest
from encoder import api_bodies, matryoshka
from encoder.batching import Batcher
from encoder.errors import EncoderError, ModelUnknown
from encoder.fingerprint import Identity
from servicekit import problems

JSON_MEDIA_TYPE = "application/json"
INLINE_NUMBERS = 16_384
"""More take over a millisecond to write, which then happens in a thread."""


async def create_embeddings(request: Request) -> Response:
    """Embeds as `POST /v1/embed` does, in the form of OpenAI's embeddings: up to 2,048 texts, as numbers or as base64.

    `model` is the served model or its fingerprint; `user` is ignored. `usage` counts tokens as the model takes them.
    """
    try:
        return await _embeddings(request)
    except (EncoderError, RequestValidationError) as error:
        return _told_twice(await problems.answer(request, error))


async def _embeddings(request: Request) -> Response:
    batcher: Batcher = request.app.state.batcher
    identity: Identity = request.app.state.identity
    body = await api_bodies.read(request, EmbeddingsRequest)
    space = matryoshka.space(identity, body.dimensions)
    if body.model not in (identity.model, space.fingerprint):
        raise ModelUnknown(f"The model {body.model[:200]!r} is not served here; ask for {identity.model!r} or for {space.fingerprint!r}.")
    until, priority = api_bodies.deadline(request), api_bodies.priority(request)
    async with api_bodies.while_waited_for(request):
        embedded = await batcher.embed(body.input, until, priority)
    rows = matryoshka.cut(embedded.embeddings, space.dimension).astype("<f4", copy=False)
    write = _base64 if body.encoding_format == "base64" else _numbers
    encoded = write(rows) if rows.size <= INLINE_NUMBERS else await asyncio.to_thread(write, rows)
    content = _content(encoded, identity.model, embedded.tokens)
    return Response(content, headers={FINGERPRINT_HEADER: space.fingerprint}, media_type=JSON_MEDIA_TYPE)


def _base64(rows: NDArray[np.float32]) -> list[bytes]:
    return [b'"%b"' % base64.b64encode(row.tobytes()) for row in rows]


def _numbers(rows: NDArray[np.float32]) -> list[bytes]:
    return [to_json(row.tolist()) for row in rows]


def _content(encoded: list[bytes], model: str, tokens: int) -> bytes:
    """An `EmbeddingsResponse`, joined from bytes: through pydantic it would hold the event loop for tens of milliseconds."""
    data = b",".join(b'{"object":"embedding","index":%d,"embedding":%b}' % numbered for numbered in enumerate(encoded))
    rest = json.dumps({"model": model, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}).encode()
    return b'{"object":"list","data":[' + data + b"]," + rest[1:]


def _told_twice(refusal: Response) -> Response:
    """The problem, and what OpenAI's clients look for in it."""
    problem = json.loads(bytes(refusal.body))
    kind = problem["type"].rsplit("/", 1)[-1]
    problem["error"] = {"message": problem["detail"], "type": kind, "param": None, "code": kind}
    kept = {name: value for name, value in refusal.headers.items() if name == "retry-after"}
    return Response(json.dumps(problem), refusal.status_code, kept, problems.MEDIA_TYPE)
