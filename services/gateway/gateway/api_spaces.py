"""The routes of the named spaces and of the state of the system; spaces are handed on to the retriever unread."""

from typing import Annotated

from fastapi import Path, Request
from fastapi.responses import Response

from contracts import gateway as wire
from gateway.api_bodies import NDJSON, gateway_of, relayed, reply


async def put_space(request: Request, space: Annotated[str, Path(pattern="^(collaborative|popular)$")]) -> Response:
    """Replaces a space with the uploaded rows at once; NDJSON, one `SpaceRow` per line. For the offline jobs."""
    kind = request.headers.get("content-type", NDJSON)
    answer = await gateway_of(request).relay(
        "PUT", f"/v1/spaces/{space}", body=request.stream(), headers={"content-type": kind}, query=dict(request.query_params), bulk=True
    )
    return relayed(answer)


async def list_spaces(request: Request) -> Response:
    """The named spaces and what each holds now."""
    return relayed(await gateway_of(request).relay("GET", "/v1/spaces"))


async def read_content_space(request: Request) -> Response:
    """The embedding of every item, NDJSON with one `SpaceRow` per line; for the offline jobs."""
    return relayed(await gateway_of(request).relay("GET", "/v1/spaces/content", bulk=True))


async def system_status(request: Request) -> Response:
    """What the system holds and who answers in it."""
    return reply(wire.SystemStatus.model_validate(await gateway_of(request).status()))
