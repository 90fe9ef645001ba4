"""Chooses the ladder's weights on users that are not reported. Knows candidates and targets, nothing of services."""

import itertools
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.evaluate.served import SOURCES, Candidates

K = 20
GRID = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0, 1.5)
WORTH = 0.0005
"""Settings whose mean recall is within this of the best are as good as the best: the differences between them are noise of the tuning
users. The middle of them is chosen, which depends less on that noise than any one of them."""
LEAST = 0.05
"""A smaller weight is none: a source that does not help gets weight 0."""


@dataclass(frozen=True)
class Case:
    """One user's candidates, and which of them are targets: `gains[i]` is 1 / min(K, number of targets) for a target, else 0."""

    scores: NDArray[np.float32]
    gains: NDArray[np.float32]

    @classmethod
    def of(cls, candidates: Candidates, targets: Collection[str]) -> "Case":
        gain = 1 / min(K, len(targets))
        return cls(candidates.scores, np.array([gain * (item in targets) for item in candidates.ids], np.float32))


def recall_at(cases: Iterable[Case], weights: Sequence[float]) -> float:
    """Mean recall@20 over the cases when their candidates are ordered by the weighted sum of standard scores."""
    chosen = np.asarray(weights, np.float32)
    return float(np.mean([case.gains[np.argsort(-(case.scores @ chosen), kind="stable")[:K]].sum() for case in cases]))


def choose(cases: Sequence[Case], leader: str, others: Sequence[str]) -> tuple[dict[str, float], float]:
    """Weights of `others` on the grid beside weight 1 for `leader`, and the mean recall@20 they reach on `cases`."""
    tried = []
    for values in itertools.product(GRID, repeat=len(others)):
        weights = {leader: 1.0, **dict(zip(others, values, strict=True))}
        tried.append((recall_at(cases, [weights.get(source, 0.0) for source in SOURCES]), weights))
    best = max(recall for recall, _ in tried)
    as_good = [weights for recall, weights in tried if recall >= best - WORTH]
    middle = {source: round(float(np.mean([weights[source] for weights in as_good])), 2) for source in (leader, *others)}
    chosen = {source: weight for source, weight in middle.items() if weight >= LEAST}
    return chosen, recall_at(cases, [chosen.get(source, 0.0) for source in SOURCES])
