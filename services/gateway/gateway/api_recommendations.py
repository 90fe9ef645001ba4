"""The routes that recommend: for a person, and for an item the items like it. Knows nothing of how recommendations are made."""

import hashlib
from dataclasses import replace
from typing import Annotated, Any

from fastapi import Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import TypeAdapter, ValidationError

from contracts import gateway as wire
from contracts.filters import Filter
from gateway.api_bodies import JSON_KINDS, checked, gateway_of, media_type, parsed, read, reply
from gateway.api_items import ItemId
from gateway.evidence import Asked, Deed
from servicekit import context

CALLER_DIGITS = 16
FILTER: TypeAdapter[Any] = TypeAdapter(Filter)
EXAMPLES: Any = {
    "a stated interest": {"value": {"interests": ["space opera with political intrigue"]}},
    "one liked item": {"value": {"liked_items": ["7"], "k": 20}},
    "nothing known": {"value": {"filter": {"year": {"gte": 2000}}}},
    "a known user with a filter": {"value": {"user_id": "u-1", "filter": {"genres": {"any": ["fantasy"]}}, "deadline_ms": 500}},
}


class _Recommendation(wire.Recommendation):
    attributes: dict[str, Any]


class _Recommended(wire.RecommendationResponse):
    """The answer without a second look at every word of the attributes, which were checked when the item was stored."""

    items: tuple[_Recommendation, ...]


class _Similar(wire.SimilarResponse):
    items: tuple[_Recommendation, ...]


async def recommend(request: Request) -> Response:
    """Recommends items from any mix of interests, liked items, events and a user id; nothing at all is fine too.

    The answer comes within `deadline_ms`, says why each item is there, and names in `degraded` every stage that was substituted.
    """
    media_type(request, *JSON_KINDS)
    asked, deadline_ms = await read(await request.body(), _asked)
    asked = replace(asked, caller=_caller(request.headers.get("x-api-key", "")))
    answer = await gateway_of(request).recommend(asked, deadline_ms)
    return _answer(_Recommended, _fields(answer))


async def list_similar(
    request: Request,
    item_id: ItemId,
    k: Annotated[int, Query(ge=1, le=100)] = 10,
    filter: Annotated[str | None, Query(max_length=10_000, description="A filter as in recommendations, as JSON.")] = None,  # noqa: A002
    deadline_ms: Annotated[float, Query(ge=20, le=30_000)] = 1_000,
) -> Response:
    """Items that are liked together with this one, or close to its text."""
    conditions = {} if filter is None else _plain(_filter(filter))
    item, answer = await gateway_of(request).similar(item_id, k, conditions, deadline_ms)
    shown = _fields(answer)
    return _answer(_Similar, {"item": item.fields(), "items": shown["items"], "degraded": shown["degraded"]})


def _asked(sent: bytes) -> tuple[Asked, float]:
    """What a request for recommendations says, and its deadline in milliseconds."""
    body = checked(wire.RecommendationRequest, parsed(sent))
    asked = Asked(
        interests=tuple(dict.fromkeys(body.interests)),
        topics=body.topics,
        liked=tuple(dict.fromkeys(body.liked_items)),
        deeds=tuple(Deed(event.item_id, event.type) for event in reversed(body.events)),
        user_id=body.user_id,
        k=body.k,
        filter=_plain(body.filter),
        exclude=body.exclude,
        expansion=body.expansion,
        locale=body.locale,
    )
    return asked, body.deadline_ms


def _caller(key: str) -> str:
    """What stands for an API key where tokens are counted: nothing that it could be guessed from."""
    return hashlib.sha256(key.encode()).hexdigest()[:CALLER_DIGITS] if key else ""


def _plain(conditions: Any) -> dict[str, Any]:
    """A filter as plain JSON values, as the domain takes it."""
    plain: dict[str, Any] = FILTER.dump_python(conditions, mode="json", exclude_none=True) if conditions else {}
    return plain


def _filter(sent: str) -> Any:
    try:
        return FILTER.validate_json(sent)
    except ValidationError as error:
        raise RequestValidationError([{**fault, "loc": ("query", "filter", *fault["loc"])} for fault in error.errors()]) from error


def _answer(model: type[Any], fields: dict[str, Any]) -> Response:
    timings = {name: round(spent, 2) for name, spent in (context.stage_timings.get() or {}).items()}
    fields |= {"request_id": context.request_id.get(), "timings_ms": timings}
    return reply(model.model_validate(fields, from_attributes=True))


def _fields(answer: Any) -> dict[str, Any]:
    return {name: getattr(answer, name) for name in answer.__slots__}
