"""The routes that write items. Know nothing of SQLite, FAISS or threads.

A body of lines is read in one thread while the batch before it is stored in another, and no further ahead, so that memory stays flat
however long the body is.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import Query as Parameter
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import Field

from contracts.retriever import DeleteRequest, DeleteResponse, ItemPatch, PatchResponse, UpsertResponse
from contracts.wire import Wire
from retriever import api_bodies, api_lines
from retriever.api_lines import Batch, LeanItem, Lines
from retriever.backends.protocol import Backend, Written
from retriever.errors import ItemUnknown, LineRefused, RetrieverError
from retriever.workers import Workers

Row = TypeVar("Row")
PATIENCE_S, LOOK_EVERY_S = 2.0, 0.05
"""How long a batch of lines waits for the index at most."""
Fingerprint = Annotated[
    str | None, Parameter(min_length=1, max_length=500, description="Of the embeddings; needed with lines, a JSON body has it inside.")
]


class LeanUpsert(Wire):
    """`UpsertRequest` with the embeddings unread."""

    fingerprint: Annotated[str, Field(min_length=1, max_length=500)]
    items: Annotated[tuple[LeanItem, ...], Field(min_length=1, max_length=1000)]


async def put_items(request: Request, fingerprint: Fingerprint = None) -> Response:
    """Adds or replaces items with their embeddings; the answer means that they are on disk and that the next search finds them.

    JSON: 1 to 1,000 items, all or none. NDJSON: any number of lines, stored in batches of 1,000 as they come; a bad line ends it, those
    before it are stored, and the problem says how many. Sent again it leaves the same. Of an id that comes twice the last line counts. The
    first write into an empty catalogue makes the first vector space, with this fingerprint.
    """
    if not lines(request):
        return _upserted(request, await _put_json(request))
    if fingerprint is None:
        raise RequestValidationError([_missing("fingerprint")])
    store = api_bodies.backend(request)
    written = await pour(request, api_lines.item_lines(), lambda batch: store.put(fingerprint, *batch))
    return _upserted(request, written)


async def _put_json(request: Request) -> Written:
    store, workers = api_bodies.backend(request), api_bodies.workers(request)
    body = await api_bodies.read(request, LeanUpsert)
    items, embeddings = await workers.read(api_lines.embedded, body.items)
    return await workers.write(store.put, body.fingerprint, items, embeddings)


def _upserted(request: Request, written: Written) -> Response:
    metrics = api_bodies.metrics(request)
    metrics.upserted.inc(written.created + written.replaced)
    metrics.items.set(len(api_bodies.backend(request)))
    return api_bodies.answer(
        UpsertResponse(created=written.created, replaced=written.replaced, duplicates=written.duplicates, generation=written.generation)
    )


async def delete_item(request: Request, item_id: str) -> Response:
    """Removes an item from every space."""
    written = await _delete(request, [item_id])
    if written.unknown:
        raise unknown(item_id)
    return api_bodies.answer(DeleteResponse(deleted=written.changed, generation=written.generation))


async def delete_items(request: Request) -> Response:
    """Removes up to 10,000 items from every space, all or none; ids that no item has are told."""
    body = await api_bodies.read(request, DeleteRequest)
    written = await _delete(request, body.ids)
    return api_bodies.answer(DeleteResponse(deleted=written.changed, unknown=written.unknown, generation=written.generation))


async def _delete(request: Request, ids: Any) -> Written:
    store, metrics = api_bodies.backend(request), api_bodies.metrics(request)
    written = await api_bodies.workers(request).write(store.delete, ids)
    metrics.deleted.inc(written.changed)
    metrics.items.set(len(store))
    return written


async def patch_item(request: Request, item_id: str) -> Response:
    """Changes title, text or attributes of an item by a merge patch (RFC 7396); its embeddings stay."""
    body = await api_bodies.read(request, ItemPatch)
    patch = api_lines.patch_of(item_id, body)
    written = await api_bodies.workers(request).write(api_bodies.backend(request).patch, [patch])
    return _patched(written)


async def patch_items(request: Request) -> Response:
    """Applies merge patches, one a line with the `id` of its item, in batches of 1,000 as they come; the first bad line ends it."""
    return _patched(await pour(request, api_lines.patch_lines(), api_bodies.backend(request).patch))


def _patched(written: Written) -> Response:
    return api_bodies.answer(PatchResponse(patched=written.changed, generation=written.generation))


def lines(request: Request) -> bool:
    """Whether the body is one of lines."""
    media_type = request.headers.get("content-type", "")
    return "ndjson" in media_type or "jsonl" in media_type


async def pour(request: Request, read: Lines[Any, Row], store: Callable[[Row], Written]) -> Written:
    """Stores the lines of the body batch by batch; what all of it did.

    Raises LineRefused at a line that can not be used. What `store` raises says how many lines are stored.
    """
    pouring = _Pouring(api_bodies.workers(request), store, api_bodies.backend(request))
    try:
        async for portion in api_bodies.portions(request):
            for batch in await pouring.workers.read(read.feed, portion):
                await pouring.begin(batch)
            if read.refused:
                break
        for batch in await pouring.workers.read(read.finish):
            await pouring.begin(batch)
    finally:
        await pouring.settle()
    if read.refused:
        raise LineRefused(*read.refused, pouring.stored)
    return pouring.written or Written(api_bodies.backend(request).generation)


@dataclass
class _Pouring:
    """One batch being stored; the next one waits for it."""

    workers: Workers
    store: Callable[[Any], Written]
    backend: Backend
    stored: int = 0
    written: Written | None = None
    _storing: "asyncio.Task[Written] | None" = None
    _last_line: int = 0

    async def begin(self, batch: Batch[Any]) -> None:
        await self.settle()
        await self._pause()
        self._storing, self._last_line = asyncio.ensure_future(self.workers.write(self.store, batch.rows)), batch.last_line

    async def _pause(self) -> None:
        """Lets the index catch up, but not for ever: it may be that nothing can be built just now, as on a full disk."""
        for _ in range(round(PATIENCE_S / LOOK_EVERY_S)):
            if not self.backend.crowded:
                return
            await asyncio.sleep(LOOK_EVERY_S)

    async def settle(self) -> None:
        storing, self._storing = self._storing, None
        if storing is None:
            return
        try:
            written = await storing
        except RetrieverError as error:
            error.args = (f"{error} The first {self.stored} lines are stored.",)
            raise
        self.stored, self.written = self._last_line, _sum(self.written, written)


def _sum(before: Written | None, after: Written) -> Written:
    if before is None:
        return after
    return Written(
        after.generation,
        before.created + after.created,
        before.replaced + after.replaced,
        before.duplicates + after.duplicates,
        before.changed + after.changed,
    )


def _missing(name: str) -> dict[str, Any]:
    return {"type": "missing", "loc": ("query", name), "msg": f"is needed with lines: send ?{name}=...", "input": None}


def unknown(item_id: str) -> ItemUnknown:
    """The error for an id that no item has."""
    return ItemUnknown(f"There is no item {item_id[:200]!r}; add it with PUT /v1/items.")
