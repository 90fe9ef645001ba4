"""The route for searches. Knows nothing of SQLite, FAISS or threads.

It is the hottest one, so a plain search is one hop to a search thread, which also writes the answer: no model is made of it.
"""

import asyncio
import binascii
from typing import Any

import numpy as np
from fastapi import Request, Response

from contracts import search as wire
from retriever import api_bodies, filters, rankfusion
from retriever.backends.protocol import Backend
from retriever.errors import EmbeddingInvalid, GenerationNotReached, SearchInvalid
from retriever.inquiry import Diversity, Fusion, Grouping, Inquiry, Outcome, Search
from retriever.items import Floats, Item
from retriever.rankfusion import Hit
from retriever.search import search
from servicekit import context
from servicekit.deadline import HEADER, Deadline

LONGEST_WAIT_MS = 1_000.0
"""For a generation, when no deadline was sent."""
LOOK_AGAIN_S = 0.005


async def search_items(request: Request) -> Response:
    """The items nearest to embeddings or examples: many queries at once, in several spaces, fused, grouped and diversified as asked."""
    store = api_bodies.backend(request)
    api_bodies.check_admission(request)
    body = await api_bodies.read(request, wire.SearchRequest)
    deadline = _deadline(request, body.deadline_ms)
    if body.min_generation > store.generation:
        await _reach(store, body.min_generation, deadline or Deadline.after_ms(LONGEST_WAIT_MS))
    response = await api_bodies.admitted(request, _answer, store, body, deadline)
    stages = api_bodies.metrics(request).stages
    for stage, milliseconds in (context.stage_timings.get() or {}).items():
        stages.labels(stage).observe(milliseconds / 1_000)
    return response


def _answer(store: Backend, body: wire.SearchRequest, deadline: Deadline | None) -> Response:
    outcome = search(store, _inquiry(body, deadline))
    answer: dict[str, Any] = {"generation": outcome.generation}
    if body.with_items:
        with context.stage("items"):
            items = store.items([hit.id for result in outcome.results for hit in result.hits])
        # an item may have been deleted since it was found
        answer["results"] = [
            {"search": one.search, "row": one.row, "hits": [_hit(hit, items[hit.id]) for hit in one.hits if hit.id in items]}
            for one in outcome.results
        ]
    else:
        answer["results"] = [{"search": one.search, "row": one.row, "hits": [_hit(hit) for hit in one.hits]} for one in outcome.results]
    answer |= _notes(body, outcome)
    return api_bodies.answer(answer)


def _hit(hit: Hit, item: Item | None = None) -> dict[str, Any]:
    written: dict[str, Any] = {"id": hit.id, "score": hit.score}
    if hit.contributions is not None:
        written["contributions"] = {
            name: {"rank": one.rank, "score": one.score, "added": one.added} for name, one in hit.contributions.items()
        }
    if item is not None:
        written["item"] = {"id": item.id, "title": item.title, "attributes": item.attributes}
    return written


def _notes(body: wire.SearchRequest, outcome: Outcome) -> dict[str, Any]:
    notes: dict[str, Any] = {"timings_ms": context.stage_timings.get() or {}}
    if outcome.unknown:
        notes["unknown"] = outcome.unknown
    if body.explain:
        notes["plan"] = outcome.plan
    return notes


async def _reach(store: Backend, generation: int, deadline: Deadline) -> None:
    """Returns once `store` is there; raises GenerationNotReached at the deadline."""
    while store.generation < generation:
        if deadline.expired:
            raise GenerationNotReached(generation, store.generation)
        await asyncio.sleep(min(LOOK_AGAIN_S, max(0.0, deadline.remaining_s)))


def _deadline(request: Request, milliseconds: float | None) -> Deadline | None:
    """The body's, or else the one that a calling service sent in its headers."""
    if milliseconds is None and (sent := request.headers.get(HEADER, "")).isdecimal():
        milliseconds = float(sent[:9])
    return None if milliseconds is None else Deadline.after_ms(milliseconds)


def _inquiry(body: wire.SearchRequest, deadline: Deadline | None) -> Inquiry:
    searches = {one.name or str(place): _search(place, one) for place, one in enumerate(body.searches)}
    if len(searches) < len(body.searches):
        raise SearchInvalid("Two searches have the same name; give each its own, or none.")
    return Inquiry(
        searches,
        body.k,
        filters.expression(body.filter) if body.filter else None,
        body.exclude,
        _fusion(body.fuse),
        Grouping(body.group_by.attribute, body.group_by.limit) if body.group_by else None,
        Diversity(body.mmr.trade, body.mmr.pool) if body.mmr else None,
        body.effort,
        body.exact,
        body.min_generation,
        body.fingerprint,
        deadline,
    )


def _search(place: int, one: wire.Search) -> Search:
    queries = None if one.embeddings is None else _queries(place, one.embeddings)
    return Search(queries, one.positive, one.negative, one.space, one.weight)


def _fusion(fuse: wire.ReciprocalRanks | wire.WeightedScores | None) -> Fusion | None:
    match fuse:
        case wire.ReciprocalRanks():
            return Fusion(rankfusion.reciprocal_ranks(fuse.constant), fuse.depth)
        case wire.WeightedScores():
            return Fusion(rankfusion.min_max, fuse.depth)
    return None


def _queries(place: int, embeddings: str | tuple[tuple[float, ...], ...]) -> Floats:
    """`(rows, dim)`, or flat where base64 does not tell the dimension."""
    if not isinstance(embeddings, str):
        if len({len(row) for row in embeddings}) > 1:
            raise EmbeddingInvalid(f"The embeddings of searches.{place} have different lengths; embed all with one encoder.")
        with np.errstate(over="ignore"):  # infinite, which is refused by its length
            return np.array(embeddings, np.float64).astype(np.float32)
    try:
        raw = binascii.a2b_base64(embeddings, strict_mode=True)
        if not raw or len(raw) % 4:
            raise ValueError(f"{len(raw)} bytes, not a multiple of 4")
    except ValueError as error:
        raise EmbeddingInvalid(
            f"searches.{place}.embeddings is not base64 of little-endian float32 ({error}); send that, or a list of lists of numbers."
        ) from None
    return np.frombuffer(raw, "<f4")
