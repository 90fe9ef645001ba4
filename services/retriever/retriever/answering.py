"""What a view says of itself and answers to a search. Knows nothing of how it came about."""

import numpy as np

from retriever.backends.protocol import CONTENT, Ask, Hits, SpaceState
from retriever.errors import EmbeddingInvalid, GenerationNotReached, IndexNotLoaded
from retriever.vectorspace import VectorSpace
from retriever.view import View

NEARLY = 1e-3
"""How far the cosine of a stored vector with itself may be from 1."""


def answer(view: View, ask: Ask) -> Hits:
    """See `backends.protocol.Backend.search`."""
    if view.generation < ask.min_generation:
        raise GenerationNotReached(ask.min_generation, view.generation)
    if view.content is None and ask.space == CONTENT:
        return Hits([[]] * len(ask.queries), [np.empty(0, np.float32)] * len(ask.queries), view.generation)
    space = view.named(ask.space)
    if ask.queries.shape[1] != space.dimension:
        raise EmbeddingInvalid(
            f"The queries have {ask.queries.shape[1]} numbers, the space {space.identity.name!r} has {space.dimension}; "
            "embed them with the encoder that embedded the items."
        )
    excluded = view.catalogue.numbers(list(ask.exclude)) if ask.exclude else np.empty(0, np.int64)
    allowed = view.narrowed(ask.filter, excluded[excluded >= 0])
    found = space.search(ask.queries, ask.n, allowed, effort=ask.effort, exact=ask.exact, deadline=ask.deadline)
    ids, scores = [], []
    for row, similarities, count in zip(found.numbers.tolist(), found.scores, (found.numbers >= 0).sum(axis=1).tolist(), strict=True):
        ids.append(view.names.of(row[:count]))
        scores.append(similarities[:count])
    return Hits(ids, scores, view.generation, [dict(vars(part)) for part in found.plan])


def check(view: View) -> None:
    """Searches for the vector of one item; raises IndexNotLoaded when that does not find it."""
    if view.content is None or not len(view.content):
        return
    row = int(view.living.numbers.min())
    found = view.content.search(view.content.take(np.array([row])), 1, None)
    if not found.scores.size or not found.scores[0, 0] > 1 - NEARLY:
        raise IndexNotLoaded(f"The nearest vector to that of item number {row} is not near; restart to rebuild the index.")


def state(view: View, space: VectorSpace) -> SpaceState:
    """What a vector space of the view holds."""
    identity = space.identity
    return SpaceState(
        identity.name,
        identity.fingerprint,
        identity.dimension,
        identity.kind,
        rows=len(space),
        missing=len(view) - len(space),
        content=identity.space == view.meta.content,
        previous=identity.space == view.meta.previous,
        segments=len(space.closed),
        unsealed=space.unsealed,
        dead=space.dead,
    )
