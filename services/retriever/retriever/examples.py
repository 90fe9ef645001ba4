"""Turns items one likes and dislikes into a query. Knows nothing of where their vectors come from."""

import numpy as np

from retriever.errors import EmbeddingInvalid
from retriever.items import Doubles, Floats

SHORTEST = 1e-6
"""A difference of means below this length is rounding and has no direction."""


def query_of(positive: Floats, negative: Floats) -> Floats:
    """The unit vector `(d,)` of mean(positive) - mean(negative), from unit vectors `(p, d)` and `(n, d)`, one of which may be empty.

    Among all unit vectors it separates the two sets best: it maximises the mean cosine with the positive ones minus the mean cosine with
    the negative ones (Rocchio 1971; Manning, Raghavan and Schütze 2008, equations 9.2 and 9.3). The weights of both sides are therefore
    equal, however many examples each has. Raises EmbeddingInvalid when the means are the same.
    """
    direction = _mean(positive) - _mean(negative)
    length = float(np.linalg.norm(direction))
    if not length > SHORTEST:
        raise EmbeddingInvalid(
            f"The positive and the negative examples have the same mean (they differ by {length:.2g}); leave one out or add another."
        )
    query: Floats = (direction / length).astype(np.float32)
    return query


def _mean(vectors: Floats) -> Doubles:
    mean: Doubles = vectors.astype(np.float64).mean(axis=0) if len(vectors) else np.zeros(vectors.shape[1])
    return mean
