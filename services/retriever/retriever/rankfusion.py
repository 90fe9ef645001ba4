"""Fuses ranked lists into one and keeps what each list gave to a hit. Knows nothing of how the lists came about.

Both methods add up, over the lists that a hit stands in, weight x value. They differ in the value of a hit of rank r (from 1), score s:

    reciprocal ranks   1 / (constant + r)              (Cormack, Clarke and Büttcher 2009)
    weighted scores    (s - least) / (most - least)    over the scores of that list (min-max; a convex combination as in Bruch, Gai and
                                                       Ingber 2023, section 3)

Min-max rather than standard scores, because a hit that a list lacks must be given some value: with min-max it gets 0, which is that of the
list's last hit and no more than the unknown score deserves. The standard score 0 would be that of a middling hit, and no other is known.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Values = Callable[[Sequence[float]], Sequence[float]]
"""From the scores of a list, best first, the value of each of its hits."""


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one list gave: the hit's `rank` in it from 1, its `score` there, and the share `added` to the fused score."""

    rank: int
    score: float
    added: float


@dataclass(frozen=True, slots=True)
class Hit:
    """A found item. After fusion `contributions` holds those of the lists that the item stands in, by their names."""

    id: str
    score: float
    contributions: Mapping[str, Contribution] | None = None


def reciprocal_ranks(constant: float) -> Values:
    """The value 1 / (constant + rank); the paper's constant is 60."""
    return lambda scores: [1 / (constant + rank) for rank in range(1, len(scores) + 1)]


def min_max(scores: Sequence[float]) -> Sequence[float]:
    """1 for the best score, 0 for the least, and what lies between in proportion; 1 for all where all are equal."""
    if not scores:
        return ()
    least, most = min(scores), max(scores)
    return [(score - least) / (most - least) if most > least else 1.0 for score in scores]


def fuse(lists: Mapping[str, Sequence[Hit]], weights: Mapping[str, float], values: Values) -> list[Hit]:
    """Every hit of `lists` (each best first, each id once) with its fused score, best first; of equal ones the smaller id."""
    given: dict[str, dict[str, Contribution]] = {}
    for name, hits in lists.items():
        valued = zip(hits, values([hit.score for hit in hits]), strict=True)
        for rank, (hit, value) in enumerate(valued, 1):
            given.setdefault(hit.id, {})[name] = Contribution(rank, hit.score, weights[name] * value)
    # fsum, because the order in which the lists were named must not decide between equal hits
    fused = (Hit(name, math.fsum(one.added for one in of.values()), of) for name, of in given.items())
    return sorted(fused, key=lambda hit: (-hit.score, hit.id))
