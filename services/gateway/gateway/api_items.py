"""The routes of the catalogue. Knows nothing of where items are stored."""

import hashlib
import json
from typing import Annotated

from fastapi import Header, Path, Query, Request
from fastapi.responses import Response, StreamingResponse

from contracts.items import Item as WireItem
from contracts.wire import Id
from gateway import errors
from gateway.api_bodies import JSON, NDJSON, NDJSON_KINDS, gateway_of, lines, media_type, relayed, row
from gateway.catalogue import Item
from gateway.gateway import READ_DEADLINE_MS
from servicekit.deadline import Deadline

ItemId = Annotated[Id, Path(description="The item's id.")]


async def list_items(
    request: Request,
    cursor: Annotated[str | None, Query(max_length=2_048, description="`next_cursor` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 50,
    query: Annotated[str | None, Query(max_length=200, description="Words of the title or authors; the best matches come first.")] = None,
) -> Response:
    """The catalogue in the order of ids, or what matches `query` as a person types it."""
    asked = {"cursor": cursor, "limit": str(limit), "query": query}
    return relayed(
        await gateway_of(request).relay("GET", "/v1/items", query={name: value for name, value in asked.items() if value is not None})
    )


async def get_item(request: Request, item_id: ItemId, if_none_match: Annotated[str | None, Header()] = None) -> Response:
    """One item, with an `ETag`; `If-None-Match` with that tag answers 304 while the item is unchanged."""
    item = await gateway_of(request).catalogue.get(item_id, Deadline.after_ms(READ_DEADLINE_MS))
    answer = _item(item)
    seen = [tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")]
    unchanged = answer.headers["etag"] in seen or "*" in seen
    return Response(status_code=304, headers={"etag": answer.headers["etag"]}) if unchanged else answer


async def put_item(request: Request, item_id: ItemId, body: WireItem) -> Response:
    """Adds the item (201) or replaces it (200); it can be recommended when the answer arrives."""
    if body.id != item_id:
        raise errors.IdMismatch(item_id, body.id)
    item = _domain(body)
    created = await gateway_of(request).put_item(item)
    return _item(item, 201 if created else 200)


async def delete_item(request: Request, item_id: ItemId) -> Response:
    """Takes the item out of the catalogue and of every list the gateway holds."""
    await gateway_of(request).delete_item(item_id)
    return Response(status_code=204)


async def import_items(request: Request) -> Response:
    """Imports items as NDJSON, one per line, and answers one line per row, in order.

    A bad row is refused with its reason and the good ones are kept. Where an id comes twice in one body its last row counts, and the
    rows before it are refused with that row's number. Rows that the encoder or the catalogue could not take now are refused with the
    reason: send them again.
    """
    media_type(request, "", *NDJSON_KINDS)
    body = await request.body()
    return StreamingResponse(lines(gateway_of(request).import_items(body, lambda line: _domain(row(WireItem, line)))), media_type=NDJSON)


def _item(item: Item, status_code: int = 200) -> Response:
    content = json.dumps(item.fields(), sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
    return Response(content, status_code, {"etag": f'"{hashlib.sha256(content).hexdigest()[:32]}"'}, JSON)


def _domain(item: WireItem) -> Item:
    return Item(item.id, item.title, item.attributes, item.text)
