"""The routes that read items. Know nothing of SQLite, FAISS or threads."""

import base64
import json
from typing import Annotated, Any

from fastapi import Query as Parameter
from fastapi import Request, Response

from contracts import items as wire_items
from contracts.retriever import ItemPage
from retriever import api_bodies, errors
from retriever.api_writes import unknown
from retriever.items import Item


async def get_item(request: Request, item_id: str) -> Response:
    """One item."""
    if (item := await api_bodies.workers(request).search(api_bodies.backend(request).item, item_id)) is None:
        raise unknown(item_id)
    return api_bodies.answer(wire_item(item))


async def list_items(
    request: Request,
    cursor: Annotated[str | None, Parameter(max_length=2_048, description="`next_cursor` of the page before.")] = None,
    limit: Annotated[int, Parameter(ge=1, le=1_000)] = 100,
    query: Annotated[str | None, Parameter(max_length=200, description="What was typed so far of a title or an author.")] = None,
) -> Response:
    """A page of items in the order of their ids; with `query`, those that match it, the best first."""
    store, workers = api_bodies.backend(request), api_bodies.workers(request)
    typed = " ".join(query.split()) if query else ""
    start = _start(cursor, typed)
    if typed:
        found = await workers.search(store.find, typed, start, limit + 1)
        following: str | int = start + limit
    else:
        found = await workers.search(store.after, start, limit + 1)
        following = found[limit - 1].id if len(found) > limit else ""
    next_cursor = _cursor(typed, following) if len(found) > limit else None
    page = tuple(wire_item(item) for item in found[:limit])
    return api_bodies.answer(ItemPage.model_construct(items=page, total=len(store), next_cursor=next_cursor))


def wire_item(item: Item) -> wire_items.Item:
    """Without a second validation: what is stored was valid when it came."""
    return wire_items.Item.model_construct(id=item.id, title=item.title, attributes=dict(item.attributes), text=item.text)


def _cursor(typed: str, following: str | int) -> str:
    return base64.urlsafe_b64encode(json.dumps([typed, following], ensure_ascii=False).encode()).decode("ascii")


def _start(cursor: str | None, typed: str) -> Any:
    """Where the page begins: after an id, or with a query at a number of items."""
    first: str | int = 0 if typed else ""
    if cursor is None:
        return first
    try:
        of, following = json.loads(base64.urlsafe_b64decode(cursor))
        str(following).encode()  # SQLite can not be asked for an id with a lone surrogate
    except (ValueError, TypeError, RecursionError):
        of = following = None
    if of != typed or type(following) is not type(first) or (isinstance(following, int) and not 0 <= following < 2**31):
        raise errors.CursorInvalid(f"The cursor {cursor[:80]!r} is not of this list; send next_cursor of its page before, or none.")
    return following
