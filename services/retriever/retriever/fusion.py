"""Merges what the sources propose and say into one score. Knows nothing of what the sources look at.

A raw score becomes standard deviations above the source's mean over the whole space, so that sources of different scales can be added:

    score(x) = sum over sources s of weight_s * (raw_s(x) - mean_s) / std_s
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from retriever.items import Bools, Doubles, Rows
from retriever.nearness import A
from retriever.sources import Source


@dataclass(frozen=True)
class Fused:
    """Scores of a pool of rows `(pool,)`: fused, and raw and standard by source."""

    scores: Doubles
    raw: Mapping[str, Doubles]
    standard: Mapping[str, Doubles]


def union(proposed: Iterable[Iterable[Rows]], count: int) -> Rows:
    """Every row that any source proposes, ascending; there are `count` rows."""
    mask: Bools = np.zeros(count, np.bool_)
    for lists in proposed:
        for rows in lists:
            mask[rows] = True
    return np.flatnonzero(mask)


def fuse(sources: Mapping[str, Source[A]], weights: Mapping[str, float], pool: Rows) -> Fused:
    """Scores the rows of `pool` exactly in every source."""
    raw = {name: source.raw(pool) for name, source in sources.items()}
    standard = {name: source.spread.standard(raw[name]) for name, source in sources.items()}
    scores = np.zeros(len(pool))
    for name, of in standard.items():
        scores += weights[name] * of
    return Fused(scores, raw, standard)


def first_places(scores: Doubles, ids_of: Callable[[list[int]], Sequence[str]], k: int) -> list[int]:
    """Places of the `k` largest `scores`, best first; of equal ones the smaller id."""
    last = np.partition(scores, len(scores) - k)[len(scores) - k] if len(scores) > k else -np.inf
    places: list[int] = np.flatnonzero(scores >= last).tolist()
    name_of = dict(zip(places, ids_of(places), strict=True))
    return sorted(places, key=lambda place: (-scores[place], name_of[place]))[:k]
