"""Ranking metrics with intervals over users. Knows nothing of where the rankings come from."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
RESAMPLES = 2_000


def recall(ranking: Sequence[str], targets: Collection[str], k: int) -> float:
    """Hits among the first `k`, over min(k, number of targets): 1.0 is reachable for every user."""
    return sum(item in targets for item in ranking[:k]) / min(k, len(targets))


def ndcg(ranking: Sequence[str], targets: Collection[str], k: int) -> float:
    """Discounted gain of hits over that of the ideal ranking (Järvelin and Kekäläinen, 2002; binary relevance, log2 discount)."""
    gain = sum(1 / np.log2(place + 2) for place, item in enumerate(ranking[:k]) if item in targets)
    return float(gain / sum(1 / np.log2(place + 2) for place in range(min(k, len(targets)))))


@dataclass(frozen=True)
class Estimate:
    """A mean over users with its 95 % percentile bootstrap interval (Efron, 1979)."""

    mean: float
    low: float
    high: float


def estimate(values: Values, seed: int = 0) -> Estimate:
    """Mean and interval of `values` `(n_users,)`; users are resampled with replacement `RESAMPLES` times."""
    low, high = np.percentile(_resampled(len(values), seed) @ values / len(values), [2.5, 97.5])
    return Estimate(float(values.mean()), float(low), float(high))


def _resampled(users: int, seed: int) -> Values:
    """How often each resample takes each user: `(RESAMPLES, users)`."""
    counts = np.random.default_rng(seed).multinomial(users, np.full(users, 1 / users), size=RESAMPLES)
    return counts.astype(np.float64)


def paired_difference(ours: Values, theirs: Values) -> Estimate:
    """Interval of the mean difference, the same users resampled on both sides."""
    return estimate(ours - theirs)


def paired_ratio(ours: Values, theirs: Values, seed: int = 0) -> Estimate:
    """Interval of the mean of `ours` over that of `theirs`, the same users resampled on both sides; no resample may leave `theirs` at 0."""
    counts = _resampled(len(ours), seed)
    low, high = np.percentile((counts @ ours) / (counts @ theirs), [2.5, 97.5])
    return Estimate(float(ours.mean() / theirs.mean()), float(low), float(high))


def coverage(rankings: Sequence[Sequence[str]], k: int, catalogue_size: int) -> float:
    """Share of the catalogue that stands among the first `k` of anybody's ranking."""
    return len({item for ranking in rankings for item in ranking[:k]}) / catalogue_size
