"""The route for searches. Knows nothing of SQLite, FAISS or threads.

It is the hottest one, so a plain search is one hop to a search thread, which also writes the answer: no model is made of it.
"""

import asyncio
import binascii
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from fastapi import Request, Response

from contracts import search as wire
from retriever import api_bodies, filters, joint, rankfusion
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
LONGEST_SHORT = 4 * joint.MOST_NUMBERS * 4 // 3
"""Characters of base64."""


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """A search that may be answered together with others; `timings` are its request's."""

    store: Backend
    inquiry: Inquiry
    timings: dict[str, float]


async def search_items(request: Request) -> Response:
    """The items nearest to embeddings or examples: many queries at once, in several spaces, fused, grouped and diversified as asked."""
    store = api_bodies.backend(request)
    body = await api_bodies.read(request, wire.SearchRequest)
    deadline = _deadline(request, body.deadline_ms)
    if body.min_generation > store.generation:
        await _reach(request, body.min_generation, deadline or Deadline.after_ms(LONGEST_WAIT_MS))
    timings = context.stage_timings.get() or {}
    with api_bodies.admitted(request) as threads:
        if _is_short(body):
            response = await threads.join(_answer_together, _Asked(store, _inquiry(body, deadline), timings))
        else:
            response = await threads.search(_answer, store, body, deadline)
    api_bodies.metrics(request).show_stages(timings)
    return response


def _is_short(body: wire.SearchRequest) -> bool:
    """Whether it asks for nothing but what is near to one or a few embeddings; then reading them is quick."""
    embeddings = body.searches[0].embeddings
    return (
        embeddings is not None
        and len(embeddings) <= (LONGEST_SHORT if isinstance(embeddings, str) else 1)
        and not (body.with_items or body.explain)
        and len(body.searches) == 1
    )


def _answer_together(asked: Sequence[_Asked]) -> list[Response | Exception]:
    """Those that are alike as one search; each answer is what `_answer` gives."""
    groups: dict[Hashable, list[int]] = {}
    for place, one in enumerate(asked):
        groups.setdefault((id(one.store), joint.alike(one.inquiry) or place), []).append(place)
    answers: dict[int, Response | Exception] = {}
    for places in groups.values():
        timings: dict[str, float] = {}
        context.stage_timings.set(timings)
        outcomes = joint.search_together(asked[places[0]].store, [asked[place].inquiry for place in places])
        for place, outcome in zip(places, outcomes, strict=True):
            asked[place].timings.update(timings)
            answers[place] = outcome if isinstance(outcome, Exception) else api_bodies.answer(_written(outcome) | _notes(outcome, timings))
    return [answers[place] for place in range(len(asked))]


def _answer(store: Backend, body: wire.SearchRequest, deadline: Deadline | None) -> Response:
    outcome, items = search(store, _inquiry(body, deadline)), None
    if body.with_items:
        with context.stage("items"):
            items = store.items([hit.id for result in outcome.results for hit in result.hits])
    answer = _written(outcome, items) | _notes(outcome, context.stage_timings.get() or {})
    return api_bodies.answer(answer | {"plan": outcome.plan} if body.explain else answer)


def _written(outcome: Outcome, items: Mapping[str, Item] | None = None) -> dict[str, Any]:
    """The answer with the `items` of its hits, if there are any: one may have been deleted since it was found."""
    if items is None:
        hits = [[_hit(hit) for hit in one.hits] for one in outcome.results]
    else:
        hits = [[_hit(hit, items[hit.id]) for hit in one.hits if hit.id in items] for one in outcome.results]
    results = [{"search": one.search, "row": one.row, "hits": of} for one, of in zip(outcome.results, hits, strict=True)]
    return {"generation": outcome.generation, "results": results}


def _notes(outcome: Outcome, timings: Mapping[str, float]) -> dict[str, Any]:
    return {"timings_ms": timings, "unknown": outcome.unknown} if outcome.unknown else {"timings_ms": timings}


def _hit(hit: Hit, item: Item | None = None) -> dict[str, Any]:
    written: dict[str, Any] = {"id": hit.id, "score": hit.score}
    if hit.contributions is not None:
        written["contributions"] = {
            name: {"rank": one.rank, "score": one.score, "added": one.added} for name, one in hit.contributions.items()
        }
    if item is not None:
        written["item"] = {"id": item.id, "title": item.title, "attributes": item.attributes}
    return written


async def _reach(request: Request, generation: int, deadline: Deadline) -> None:
    """Returns once the store is there; raises GenerationNotReached at the deadline."""
    store, threads = api_bodies.backend(request), api_bodies.workers(request)
    while store.generation < generation and not await threads.search(store.reached, generation):
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
