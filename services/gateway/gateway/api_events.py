"""The routes of what users did, and of each user. Knows nothing of where events are stored."""

import json
from datetime import datetime
from typing import Annotated

from fastapi import Path, Query, Request
from fastapi.responses import Response, StreamingResponse

from contracts import gateway as wire
from contracts.wire import Id
from gateway import errors
from gateway.api_bodies import JSON_KINDS, NDJSON, NDJSON_KINDS, checked, gateway_of, lines, media_type, parsed, raw, read, reply, row
from gateway.imports import RowRefused
from gateway.profiles import Event, milliseconds


async def add_events(request: Request) -> Response:
    """Stores what users did: as JSON one event, or `{"events": [...]}` with at most 10,000 (all or none); as NDJSON any number.

    NDJSON answers one line per row; a bad row is refused with its reason and the good ones are kept. An event that is there already
    (same user, item, type and time, to the millisecond) is not stored twice: send `time` to make a repetition harmless.
    """
    body = await request.body()
    gateway = gateway_of(request)
    received = datetime.now().astimezone()
    if media_type(request, *JSON_KINDS, *NDJSON_KINDS) in NDJSON_KINDS:
        portions = gateway.import_events(body, lambda line: _event_row(line, received))
        return StreamingResponse(lines(portions), media_type=NDJSON)
    events = await read(body, lambda sent: _events(sent, received))
    stored = await gateway.add_events(events)
    return reply(wire.EventsAccepted(stored=stored, duplicates=len(events) - stored))


async def list_events(
    request: Request,
    cursor: Annotated[str | None, Query(max_length=64, description="`next_cursor` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=50_000)] = 1_000,
) -> Response:
    """All events in the order of their storage, for offline jobs; follow `next_cursor` until it is null."""
    page = await gateway_of(request).profiles.page(cursor, limit)
    return raw(b'{"events":' + page.events + b',"next_cursor":' + json.dumps(page.next_cursor).encode() + b"}")


async def get_user(request: Request, user_id: Annotated[Id, Path()]) -> Response:
    """What is stored of a user, and the items that recommendations for them start from."""
    record = await gateway_of(request).profiles.record(user_id)
    if record is None:
        raise errors.UserUnknown(user_id)
    events = tuple(wire.StoredEvent.model_validate(event, from_attributes=True) for event in record.events)
    return reply(wire.User(user_id=user_id, events=events, event_count=record.event_count, liked_items=record.liked))


async def erase_user(request: Request, user_id: Annotated[Id, Path()]) -> Response:
    """Erases every trace of a user: events, topics made from their words, remembered answers. Erasing an unknown user is no error."""
    await gateway_of(request).erase(user_id)
    return Response(status_code=204)


def _events(sent: bytes, received: datetime) -> list[Event]:
    body = parsed(sent)
    one_by_one = checked(wire.EventBatch, body).events if isinstance(body, dict) and "events" in body else (checked(wire.Event, body),)
    return [_event(event, received) for event in one_by_one]


def _event(event: wire.Event, received: datetime) -> Event:
    return Event(event.user_id, milliseconds(event.time or received), event.item_id, event.type, event.value)


def _event_row(line: bytes, received: datetime) -> Event:
    try:
        return _event(row(wire.Event, line), received)
    except errors.EventInvalid as error:
        raise RowRefused(str(error)) from error
