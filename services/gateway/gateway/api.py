"""The public HTTP API: wire types in, domain calls, wire types out. Knows nothing of how recommendations are made."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import Annotated, Any, TypeVar

from fastapi import Header, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response, StreamingResponse
from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from contracts import gateway as wire
from contracts.filters import Filter
from contracts.items import Item as WireItem
from contracts.retriever import ItemPage, SpaceStatus
from contracts.wire import Id, Wire
from gateway import errors
from gateway.catalogue import Item, Relayed
from gateway.evidence import Asked, Deed
from gateway.gateway import READ_DEADLINE_MS, Gateway
from gateway.imports import Outcome, RowRefused
from gateway.profiles import Event, milliseconds
from servicekit import context, openapi, problems
from servicekit.app import Route
from servicekit.deadline import Deadline

NDJSON = "application/x-ndjson"
JSON_KINDS, NDJSON_KINDS = ("", "application/json"), (NDJSON, "application/ndjson", "application/jsonl")
INLINE_BYTES = 32 * 1024
"""A longer JSON body is read in a thread."""
FILTER: TypeAdapter[Any] = TypeAdapter(Filter)
Model = TypeVar("Model", bound=Wire)
Value = TypeVar("Value")
ItemId = Annotated[Id, Path(description="The item's id.")]
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


def _gateway(request: Request) -> Gateway:
    opened: Gateway = request.app.state.gateway
    return opened


def _plain(conditions: Any) -> dict[str, Any]:
    """A filter as plain JSON values, as the domain takes it."""
    plain: dict[str, Any] = FILTER.dump_python(conditions, mode="json", exclude_none=True) if conditions else {}
    return plain


async def recommend(request: Request) -> Response:
    """Recommends items from any mix of interests, liked items, events and a user id; nothing at all is fine too.

    The answer comes within `deadline_ms`, says why each item is there, and names in `degraded` every stage that was substituted.
    """
    _kind(request, *JSON_KINDS)
    asked, deadline_ms = await _read(await request.body(), _asked)
    answer = await _gateway(request).recommend(asked, deadline_ms)
    return _answer(_Recommended, _fields(answer))


async def add_events(request: Request) -> Response:
    """Stores what users did: as JSON one event, or `{"events": [...]}` with at most 10,000 (all or none); as NDJSON any number.

    NDJSON answers one line per row; a bad row is refused with its reason and the good ones are kept. An event that is there already
    (same user, item, type and time, to the millisecond) is not stored twice: send `time` to make a repetition harmless.
    """
    body = await request.body()
    gateway = _gateway(request)
    received = datetime.now().astimezone()
    if _kind(request, *JSON_KINDS, *NDJSON_KINDS) in NDJSON_KINDS:
        portions = gateway.import_events(body, lambda line: _event_row(line, received))
        return StreamingResponse(_lines(portions), media_type=NDJSON)
    events = await _read(body, lambda sent: _events(sent, received))
    stored = await gateway.add_events(events)
    return _reply(wire.EventsAccepted(stored=stored, duplicates=len(events) - stored))


async def list_events(
    request: Request,
    cursor: Annotated[str | None, Query(max_length=64, description="`next_cursor` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=50_000)] = 1_000,
) -> Response:
    """All events in the order of their storage, for offline jobs; follow `next_cursor` until it is null."""
    page = await _gateway(request).profiles.page(cursor, limit)
    return _raw(b'{"events":' + page.events + b',"next_cursor":' + json.dumps(page.next_cursor).encode() + b"}")


async def list_items(
    request: Request,
    cursor: Annotated[str | None, Query(max_length=2_048, description="`next_cursor` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 50,
    query: Annotated[str | None, Query(max_length=200, description="Words of the title or authors; the best matches come first.")] = None,
) -> Response:
    """The catalogue in the order of ids, or what matches `query` as a person types it."""
    asked = {"cursor": cursor, "limit": str(limit), "query": query}
    return _relayed(
        await _gateway(request).relay("GET", "/v1/items", query={name: value for name, value in asked.items() if value is not None})
    )


async def get_item(request: Request, item_id: ItemId, if_none_match: Annotated[str | None, Header()] = None) -> Response:
    """One item, with an `ETag`; `If-None-Match` with that tag answers 304 while the item is unchanged."""
    item = await _gateway(request).catalogue.get(item_id, Deadline.after_ms(READ_DEADLINE_MS))
    answer = _item(item)
    seen = [tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")]
    unchanged = answer.headers["etag"] in seen or "*" in seen
    return Response(status_code=304, headers={"etag": answer.headers["etag"]}) if unchanged else answer


async def put_item(request: Request, item_id: ItemId, body: WireItem) -> Response:
    """Adds the item (201) or replaces it (200); it can be recommended when the answer arrives."""
    if body.id != item_id:
        raise errors.IdMismatch(item_id, body.id)
    item = _domain(body)
    created = await _gateway(request).put_item(item)
    return _item(item, 201 if created else 200)


async def delete_item(request: Request, item_id: ItemId) -> Response:
    """Takes the item out of the catalogue and of every list the gateway holds."""
    await _gateway(request).delete_item(item_id)
    return Response(status_code=204)


async def import_items(request: Request) -> Response:
    """Imports items as NDJSON, one per line, and answers one line per row, in order.

    A bad row is refused with its reason and the good ones are kept. Where an id comes twice in one body its last row counts, and the
    rows before it are refused with that row's number. Rows that the encoder or the catalogue could not take now are refused with the
    reason: send them again.
    """
    _kind(request, "", *NDJSON_KINDS)
    body = await request.body()
    return StreamingResponse(_lines(_gateway(request).import_items(body, lambda line: _domain(_row(WireItem, line)))), media_type=NDJSON)


async def list_similar(
    request: Request,
    item_id: ItemId,
    k: Annotated[int, Query(ge=1, le=100)] = 10,
    filter: Annotated[str | None, Query(max_length=10_000, description="A filter as in recommendations, as JSON.")] = None,  # noqa: A002
    deadline_ms: Annotated[float, Query(ge=20, le=30_000)] = 1_000,
) -> Response:
    """Items that are liked together with this one, or close to its text."""
    conditions = {} if filter is None else _plain(_checked_filter(filter))
    item, answer = await _gateway(request).similar(item_id, k, conditions, deadline_ms)
    shown = _fields(answer)
    return _answer(_Similar, {"item": item.fields(), "items": shown["items"], "degraded": shown["degraded"]})


async def get_user(request: Request, user_id: Annotated[Id, Path()]) -> Response:
    """What is stored of a user, and the items that recommendations for them start from."""
    record = await _gateway(request).profiles.record(user_id)
    if record is None:
        raise errors.UserUnknown(user_id)
    events = tuple(wire.StoredEvent.model_validate(event, from_attributes=True) for event in record.events)
    return _reply(wire.User(user_id=user_id, events=events, event_count=record.event_count, liked_items=record.liked))


async def erase_user(request: Request, user_id: Annotated[Id, Path()]) -> Response:
    """Erases every trace of a user: events, and answers remembered for outages. Erasing an unknown user is no error."""
    await _gateway(request).erase(user_id)
    return Response(status_code=204)


async def put_space(request: Request, space: Annotated[str, Path(pattern="^(collaborative|popular)$")]) -> Response:
    """Replaces a space with the uploaded rows at once; NDJSON, one `SpaceRow` per line. For the offline jobs."""
    kind = request.headers.get("content-type", NDJSON)
    relayed = await _gateway(request).relay(
        "PUT", f"/v1/spaces/{space}", body=request.stream(), headers={"content-type": kind}, query=dict(request.query_params), bulk=True
    )
    return _relayed(relayed)


async def list_spaces(request: Request) -> Response:
    """The named spaces and what each holds now."""
    return _relayed(await _gateway(request).relay("GET", "/v1/spaces"))


async def read_content_space(request: Request) -> Response:
    """The embedding of every item, NDJSON with one `SpaceRow` per line; for the offline jobs."""
    return _relayed(await _gateway(request).relay("GET", "/v1/spaces/content", bulk=True))


async def system_status(request: Request) -> Response:
    """What the system holds and who answers in it."""
    return _reply(wire.SystemStatus.model_validate(await _gateway(request).status()))


def _fields(answer: Any) -> dict[str, Any]:
    return {name: getattr(answer, name) for name in answer.__slots__}


def _answer(model: type[Any], fields: dict[str, Any]) -> Response:
    timings = {name: round(spent, 2) for name, spent in (context.stage_timings.get() or {}).items()}
    fields |= {"request_id": context.request_id.get(), "timings_ms": timings}
    return _reply(model.model_validate(fields, from_attributes=True))


def _reply(model: Any) -> Response:
    return _raw(model.model_dump_json().encode())


def _raw(content: bytes) -> Response:
    return Response(content, media_type="application/json")


def _relayed(answer: Relayed) -> Response:
    return Response(answer.content, answer.status, media_type=answer.media_type)


def _item(item: Item, status_code: int = 200) -> Response:
    content = json.dumps(item.fields(), sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
    return Response(content, status_code, {"etag": f'"{hashlib.sha256(content).hexdigest()[:32]}"'}, "application/json")


def _kind(request: Request, *taken: str) -> str:
    """The media type of the body, "" when it has none; raises `MediaTypeUnsupported` when it is not among those `taken`."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in taken:
        wanted = [name for name in ("application/json", NDJSON) if name in taken]
        raise errors.MediaTypeUnsupported(f"Content-Type {kind!r} is not taken here; send {' or '.join(wanted)}.")
    return kind


async def _read(body: bytes, read: Callable[[bytes], Value]) -> Value:
    """What `read` makes of a body; of a long one in a thread, which FastAPI's own reading of bodies would not do."""
    return read(body) if len(body) <= INLINE_BYTES else await asyncio.to_thread(read, body)


def _asked(sent: bytes) -> tuple[Asked, float]:
    """What a request for recommendations says, and its deadline in milliseconds."""
    body = _checked(wire.RecommendationRequest, _json(sent))
    asked = Asked(
        interests=tuple(dict.fromkeys(body.interests)),
        topics=body.topics,
        liked=tuple(dict.fromkeys(body.liked_items)),
        deeds=tuple(Deed(event.item_id, event.type) for event in reversed(body.events)),
        user_id=body.user_id,
        k=body.k,
        filter=_plain(body.filter),
        exclude=body.exclude,
    )
    return asked, body.deadline_ms


def _events(sent: bytes, received: datetime) -> list[Event]:
    body = _json(sent)
    one_by_one = _checked(wire.EventBatch, body).events if isinstance(body, dict) and "events" in body else (_checked(wire.Event, body),)
    return [_event(event, received) for event in one_by_one]


def _domain(item: WireItem) -> Item:
    return Item(item.id, item.title, item.attributes, item.text)


def _event(event: wire.Event, received: datetime) -> Event:
    return Event(event.user_id, milliseconds(event.time or received), event.item_id, event.type, event.value)


def _event_row(line: bytes, received: datetime) -> Event:
    try:
        return _event(_row(wire.Event, line), received)
    except errors.EventInvalid as error:
        raise RowRefused(str(error)) from error


def _row(model: type[Model], line: bytes) -> Model:
    try:
        return model.model_validate_json(line)
    except ValidationError as error:
        raise RowRefused(problems.sentence(problems.violations([{**fault} for fault in error.errors()]))) from error


def _json(body: bytes) -> Any:
    try:
        return from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise RequestValidationError([{"type": "json_invalid", "loc": ("body",), "msg": "", "ctx": {"error": str(error)}}]) from error


def _checked(model: type[Model], sent: Any) -> Model:
    try:
        return model.model_validate(sent)
    except ValidationError as error:
        raise RequestValidationError([{**fault, "loc": ("body", *fault["loc"])} for fault in error.errors()]) from error


def _checked_filter(sent: str) -> Any:
    try:
        return FILTER.validate_json(sent)
    except ValidationError as error:
        raise RequestValidationError([{**fault, "loc": ("query", "filter", *fault["loc"])} for fault in error.errors()]) from error


async def _lines(portions: AsyncIterator[Sequence[Outcome]]) -> AsyncIterator[bytes]:
    async for portion in portions:
        yield b"".join(map(_line, portion))


def _line(outcome: Outcome) -> bytes:
    fields: dict[str, Any] = {"row": outcome.row, "status": "stored" if outcome.reason is None else "refused"}
    optional = {"id": outcome.id, "reason": outcome.reason}
    return json.dumps(fields | {name: value for name, value in optional.items() if value is not None}).encode() + b"\n"


STATUSES: problems.StatusTable = {
    errors.ItemUnknown: 404,
    errors.UserUnknown: 404,
    errors.RequestRefused: 422,
    errors.MediaTypeUnsupported: 415,
    errors.Unavailable: 503,
}


EVENT, ITEM, ROW = wire.Event.model_json_schema(), WireItem.model_json_schema(), wire.RowResult.model_json_schema()
ASKED = {"schema": openapi.in_place(wire.RecommendationRequest.model_json_schema()), "examples": EXAMPLES}
EVENTS = {"type": "object", "required": ["events"], "properties": {"events": {"type": "array", "maxItems": 10_000, "items": EVENT}}}
LINES: dict[str, Any] = {NDJSON: {"schema": ROW}}

ASKING = openapi.takes({"application/json": ASKED})


def _takes(**schemas: dict[str, Any]) -> dict[str, Any]:
    """The OpenAPI of a body that the handler reads itself."""
    return openapi.takes({{"json": "application/json", "lines": NDJSON}[kind]: {"schema": schema} for kind, schema in schemas.items()})


def _gives(model: Any, **further: Any) -> dict[str, Any]:
    """The OpenAPI of an answer that the handler writes itself."""
    return {"response_model": model, **further}


ROUTES: tuple[Route, ...] = (
    Route("POST", "/v1/recommendations", recommend, options=_gives(wire.RecommendationResponse, openapi_extra=ASKING)),
    Route(
        "POST",
        "/v1/events",
        add_events,
        options=_gives(
            wire.EventsAccepted,
            openapi_extra=_takes(json={"oneOf": [EVENT, EVENTS]}, lines=EVENT),
            responses={200: {"content": LINES}},
        ),
    ),
    Route("GET", "/v1/events", list_events, options=_gives(wire.EventPage)),
    Route("GET", "/v1/items", list_items, options=_gives(ItemPage)),
    Route(
        "POST",
        "/v1/items",
        import_items,
        options={"openapi_extra": _takes(lines=ITEM), "response_class": StreamingResponse, "responses": {200: {"content": LINES}}},
    ),
    Route("GET", "/v1/items/{item_id}", get_item, options=_gives(WireItem, responses={304: {"description": "Unchanged."}})),
    Route("PUT", "/v1/items/{item_id}", put_item, options=_gives(WireItem, responses={201: {"model": WireItem}})),
    Route("DELETE", "/v1/items/{item_id}", delete_item, 204),
    Route("GET", "/v1/items/{item_id}/similar", list_similar, options=_gives(wire.SimilarResponse)),
    Route("GET", "/v1/users/{user_id}", get_user, options=_gives(wire.User)),
    Route("DELETE", "/v1/users/{user_id}", erase_user, 204),
    Route("PUT", "/v1/spaces/{space}", put_space, options=_gives(SpaceStatus, openapi_extra=_takes(lines={"type": "string"}))),
    Route("GET", "/v1/spaces/content", read_content_space, options={"response_class": Response}),
    Route("GET", "/v1/spaces", list_spaces, options=_gives(tuple[SpaceStatus, ...])),
    Route("GET", "/v1/status", system_status, options=_gives(wire.SystemStatus)),
)
