"""The route for candidates from the four sources. Knows nothing of SQLite, FAISS, Milvus or threads."""

import math
from typing import Any

import numpy as np
from fastapi import Request, Response

from contracts.retriever import Candidate, RetrieveRequest, RetrieveResponse, SourceScore
from retriever import api_bodies, errors, filters
from retriever.retrieval import Answer, Found, Question
from retriever.sources import Query
from servicekit import context


async def retrieve_candidates(request: Request) -> Response:
    """The best items for query embeddings and/or liked items, fused from all sources that have something to say."""
    store, metrics = api_bodies.backend(request), api_bodies.metrics(request)
    body = await api_bodies.read(request, RetrieveRequest)

    def answer() -> tuple[Answer, Response]:
        if body.fingerprint is not None:
            store.check_fingerprint(body.fingerprint)
        found = store.retrieve(_question(body), request.app.state.proposals)
        return found, api_bodies.answer(_wire_answer(found))

    with api_bodies.admitted(request) as threads:
        found, response = await threads.search(answer)
    metrics.candidates.observe(found.scored)
    metrics.show_stages(context.stage_timings.get() or {})
    return response


def _question(body: RetrieveRequest) -> Question:
    return Question(
        weights={str(name): weight for name, weight in body.weights.items()},
        queries=[Query(query.label, _unit(query.label, query.embedding), query.weight) for query in body.queries],
        liked=body.liked,
        exclude=body.exclude,
        filter=filters.expression(body.filter) if body.filter else None,
        k=body.k,
    )


def _unit(label: str, embedding: tuple[float, ...]) -> Any:
    length = math.hypot(*embedding)
    if not 1e-30 < length < 1e30:
        raise errors.EmbeddingInvalid(f"The embedding of the query {label!r} has the length {length:g}; send one of length 1.")
    return (np.array(embedding, np.float64) / length).astype(np.float32)


def _wire_answer(answer: Answer) -> RetrieveResponse:
    return RetrieveResponse.model_construct(
        candidates=tuple(_candidate(found) for found in answer.found),
        unknown_liked=tuple(answer.unknown_liked),
        fingerprint=answer.fingerprint,
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
