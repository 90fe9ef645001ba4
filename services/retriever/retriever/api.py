"""The routes of the retriever over HTTP. Knows nothing of SQLite, FAISS or threads."""

import base64
import json
import math
from collections.abc import AsyncIterator
from typing import Annotated, Any, TypeVar

import numpy as np
from fastapi import Query as Parameter
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ValidationError

from contracts import items as wire_items
from contracts.retriever import (
    Candidate,
    ItemPage,
    RetrieveRequest,
    RetrieveResponse,
    SourceScore,
    SpaceRow,
    SpaceStatus,
    UpsertRequest,
    UpsertResponse,
)
from retriever import errors, library
from retriever.filters import AnyOf, Condition, NoneOf, Range
from retriever.items import Item, Rows
from retriever.library import Library, SpaceState
from retriever.metrics import RetrieverMetrics
from retriever.retrieval import Answer, Found, Question, retrieve
from retriever.sources import Query
from retriever.upload import SpaceUpload
from retriever.view import View
from retriever.workers import Workers
from servicekit import context, openapi
from servicekit.app import Route

Body = TypeVar("Body", bound=BaseModel)
INLINE_BYTES = 32_768
"""A larger body takes over a millisecond to read, which then happens in a thread."""
PORTION_BYTES = 2**20
"""Of a space upload read at once in a thread."""
EXPORTED_ROWS = 500
"""Embeddings written at once in a thread."""


async def upsert_items(request: Request) -> UpsertResponse:
    """Adds or replaces 1 to 1,000 items, all or none; the answer means that they are on disk and can be found.

    The first write fixes the fingerprint and dimension of the content space. An id that stands twice counts as sent one after the other.
    """
    shelf, workers, metrics = _state(request)
    body = await _read(request, UpsertRequest)

    def store() -> tuple[int, int]:
        embeddings = [np.array(stored.embedding, np.float64) for stored in body.items]
        return shelf.upsert(body.fingerprint, [_item(stored.item) for stored in body.items], embeddings)

    created, replaced = await workers.write(store)
    metrics.upserted.inc(created + replaced)
    metrics.items.set(len(shelf.view))
    return UpsertResponse(created=created, replaced=replaced)


async def delete_item(request: Request, item_id: str) -> Response:
    """Removes an item from every space."""
    shelf, workers, metrics = _state(request)
    await workers.write(shelf.delete, item_id)
    metrics.deleted.inc()
    metrics.items.set(len(shelf.view))
    return Response(status_code=204)


async def get_item(request: Request, item_id: str) -> Response:
    """One item."""
    shelf, workers, _ = _state(request)
    if (item := await workers.search(shelf.catalogue.item, item_id)) is None:
        raise library.unknown(item_id)
    return _json(_wire_item(item))


async def list_items(
    request: Request,
    cursor: Annotated[str | None, Parameter(max_length=2_048, description="`next_cursor` of the page before.")] = None,
    limit: Annotated[int, Parameter(ge=1, le=1_000)] = 100,
    query: Annotated[str | None, Parameter(max_length=200, description="What was typed so far of a title or an author.")] = None,
) -> Response:
    """A page of items in the order of their ids; with `query`, those that match it, the best first."""
    shelf, workers, _ = _state(request)
    typed = " ".join(query.split()) if query else ""
    start = _start(cursor, typed)
    if typed:
        found = await workers.search(shelf.catalogue.find, typed, start, limit + 1)
        following: str | int = start + limit
    else:
        found = await workers.search(shelf.catalogue.after, start, limit + 1)
        following = found[limit - 1].id if len(found) > limit else ""
    next_cursor = _cursor(typed, following) if len(found) > limit else None
    page = tuple(_wire_item(item) for item in found[:limit])
    return _json(ItemPage.model_construct(items=page, total=len(shelf.view), next_cursor=next_cursor))


async def retrieve_candidates(request: Request) -> Response:
    """The best items for query embeddings and/or liked items, fused from all sources that have something to say."""
    shelf, workers, metrics = _state(request)
    body = await _read(request, RetrieveRequest)
    if body.fingerprint is not None:
        shelf.check_fingerprint(body.fingerprint)

    def answer() -> tuple[Answer, Response]:
        found = retrieve(shelf.view, _question(body), request.app.state.proposals)
        return found, _json(_wire_answer(found, shelf))

    found, response = await workers.search(answer)
    metrics.candidates.observe(found.scored)
    for stage, milliseconds in (context.stage_timings.get() or {}).items():
        metrics.stages.labels(stage).observe(milliseconds / 1_000)
    return response


async def replace_space(request: Request, space: str) -> SpaceStatus:
    """Replaces a whole space (collaborative or popular) by the uploaded rows, one JSON object per line; all or nothing."""
    shelf, workers, metrics = _state(request)
    upload, portion = SpaceUpload(space), bytearray()
    async for chunk in request.stream():
        portion += chunk
        if len(portion) >= PORTION_BYTES:
            await workers.search(upload.feed, bytes(portion))
            portion.clear()
    await workers.search(upload.feed, bytes(portion))
    state = await workers.write(shelf.replace_space, space, await workers.search(upload.finish))
    metrics.space_rows.labels(space).set(state.rows)
    return _wire_state(state)


async def list_spaces(request: Request) -> list[SpaceStatus]:
    """What the content, collaborative and popular spaces hold."""
    shelf, workers, _ = _state(request)
    return [_wire_state(state) for state in await workers.search(shelf.spaces)]


async def read_content_space(request: Request) -> StreamingResponse:
    """The embedding of every item as the view holds it now, one `SpaceRow` per line; for jobs that train on text."""
    shelf, workers, _ = _state(request)
    view = shelf.view
    rows = np.flatnonzero(view.live)
    portions = (rows[start : start + EXPORTED_ROWS] for start in range(0, len(rows), EXPORTED_ROWS))

    async def lines() -> AsyncIterator[bytes]:
        for portion in portions:
            yield await workers.search(_embedding_lines, view, portion)

    return StreamingResponse(lines(), media_type="application/x-ndjson")


def _embedding_lines(view: View, rows: Rows) -> bytes:
    embeddings = view.shelf.segment.take(rows).astype("<f4")
    pairs = zip(rows.tolist(), embeddings, strict=True)
    return b"".join(
        json.dumps({"id": view.item(row).id, "embedding": base64.b64encode(embedding.tobytes()).decode("ascii")}).encode() + b"\n"
        for row, embedding in pairs
    )


def _state(request: Request) -> tuple[Library, Workers, RetrieverMetrics]:
    state = request.app.state
    return state.library, state.workers, state.metrics


async def _read(request: Request, kind: type[Body]) -> Body:
    """The JSON body; a long one is read in a thread, which FastAPI's own reading of bodies would not do."""
    body, workers = await request.body(), request.app.state.workers
    try:
        if len(body) <= INLINE_BYTES:
            return kind.model_validate_json(body)
        read: Body = await workers.search(kind.model_validate_json, body)
        return read
    except ValidationError as error:
        raise RequestValidationError([{**fault, "loc": ("body", *fault["loc"])} for fault in error.errors()]) from None


def _json(answer: BaseModel) -> Response:
    """Written once and not validated again, which FastAPI would do."""
    return Response(answer.model_dump_json(), media_type="application/json")


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


def _item(item: wire_items.Item) -> Item:
    return Item(item.id, item.title, item.attributes, item.text)


def _wire_item(item: Item) -> wire_items.Item:
    """Without a second validation: what is stored was valid when it came."""
    return wire_items.Item.model_construct(id=item.id, title=item.title, attributes=dict(item.attributes), text=item.text)


def _wire_state(state: SpaceState) -> SpaceStatus:
    return SpaceStatus.model_validate(vars(state))


def _condition(condition: wire_items.Condition) -> Condition:
    match condition:
        case wire_items.Range():
            return Range(condition.gte, condition.lte)
        case wire_items.AnyOf():
            return AnyOf(condition.any)
        case wire_items.NoneOf():
            return NoneOf(condition.none)
    return AnyOf((condition,))


def _question(body: RetrieveRequest) -> Question:
    return Question(
        weights={str(name): weight for name, weight in body.weights.items()},
        queries=[Query(query.label, _unit(query.label, query.embedding), query.weight) for query in body.queries],
        liked=body.liked,
        exclude=body.exclude,
        conditions={name: _condition(condition) for name, condition in body.filter.items()},
        k=body.k,
    )


def _unit(label: str, embedding: tuple[float, ...]) -> Any:
    length = math.hypot(*embedding)
    if not 1e-30 < length < 1e30:
        raise errors.EmbeddingInvalid(f"The embedding of the query {label!r} has the length {length:g}; send one of length 1.")
    return (np.array(embedding, np.float64) / length).astype(np.float32)


def _wire_answer(answer: Answer, shelf: Library) -> RetrieveResponse:
    return RetrieveResponse.model_construct(
        candidates=tuple(_candidate(found) for found in answer.found),
        unknown_liked=tuple(answer.unknown_liked),
        fingerprint=shelf.identity.fingerprint if shelf.identity else None,
        searched=answer.searched,
        timings_ms=dict(context.stage_timings.get() or {}),
    )


def _candidate(found: Found) -> Candidate:
    sources: dict[Any, SourceScore] = {
        name: SourceScore.model_construct(score=said.score, standard_score=said.standard_score, rank=said.rank, found_by=said.found_by)
        for name, said in found.said.items()
    }
    item = found.item
    return Candidate.model_construct(id=item.id, title=item.title, attributes=dict(item.attributes), score=found.score, sources=sources)


def _body(media_type: str, kind: type[BaseModel]) -> dict[str, Any]:
    """Documents a body that the handler reads itself."""
    return openapi.takes({media_type: {"schema": openapi.in_place(kind.model_json_schema())}})


STATUSES: dict[type[Exception], int] = {
    errors.ItemUnknown: 404,
    errors.SpaceUnknown: 404,
    errors.FingerprintMismatch: 409,
    errors.CursorInvalid: 422,
    errors.EmbeddingInvalid: 422,
    errors.SpaceRowRefused: 422,
    errors.NothingToRetrieve: 422,
    errors.IndexNotLoaded: 503,
    errors.StorageFailed: 503,
}

ROUTES: tuple[Route, ...] = (
    Route("POST", "/v1/items", upsert_items, options={"openapi_extra": _body("application/json", UpsertRequest)}),
    Route("GET", "/v1/items", list_items, options={"response_model": ItemPage}),
    Route("GET", "/v1/items/{item_id}", get_item, options={"response_model": wire_items.Item}),
    Route("DELETE", "/v1/items/{item_id}", delete_item, status=204),
    Route(
        "POST",
        "/v1/retrieve",
        retrieve_candidates,
        options={"response_model": RetrieveResponse, "openapi_extra": _body("application/json", RetrieveRequest)},
    ),
    Route("PUT", "/v1/spaces/{space}", replace_space, options={"openapi_extra": _body("application/x-ndjson", SpaceRow)}),
    Route("GET", "/v1/spaces", list_spaces),
    Route("GET", "/v1/spaces/content", read_content_space, options={"response_class": StreamingResponse}),
)
