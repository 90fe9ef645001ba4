"""Picks hits that are relevant and unlike each other. Knows nothing of where they were found."""

import numpy as np

from retriever.items import Doubles, Floats


def marginal_relevance(relevance: Doubles, vectors: Floats, k: int, trade: float) -> list[int]:
    """The places of `k` candidates, or of all when there are fewer, in the order in which they are picked.

    Maximal marginal relevance (Carbonell and Goldstein 1998, section 2): each time the candidate x that maximises

        trade * relevance(x) - (1 - trade) * max over the picked y of cosine(x, y)

    `relevance` is `(c,)`, on the scale of a cosine and the best first; `vectors` `(c, d)` are of unit length, a row of NaN (no vector is
    known) is unlike everything. Trade 1 keeps the order, 0 looks at unlikeness alone. Of equal candidates the earlier one is picked.
    """
    known = np.nan_to_num(vectors, nan=0.0)
    left, nearest = np.ones(len(relevance), np.bool_), np.full(len(relevance), -np.inf)
    picked: list[int] = []
    while len(picked) < min(k, len(relevance)):
        likeness = nearest if picked else np.zeros(len(relevance))
        gain = np.where(left, trade * relevance - (1 - trade) * likeness, -np.inf)
        best = int(gain.argmax())
        picked.append(best)
        left[best] = False
        nearest = np.maximum(nearest, known @ known[best])
    return picked
