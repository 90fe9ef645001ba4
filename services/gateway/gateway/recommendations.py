"""Turns candidates into recommendations as they are shown. Knows nothing of how the candidates were found."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.candidates import Candidate, Found
from gateway.reasons import Reason, reasons

LEAST_RELEVANCE = 0.01


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A candidate as shown; `relevance` in (0, 1], 1 for the best of the answer."""

    id: str
    title: str
    attributes: Mapping[str, Any]
    relevance: float
    reasons: tuple[Reason, ...]


def shown(
    found: Found, k: int, excluded: frozenset[str], liked: Sequence[str], titles: Mapping[str, str], *, of_user: bool
) -> tuple[Recommendation, ...]:
    """The best `k` candidates that are not excluded, with relevance and reasons; `of_user` False words them for an item's page."""
    chosen = [one for one in found.candidates if one.id not in excluded][:k]
    return tuple(
        Recommendation(one.id, one.title, one.attributes, relevance, reasons(one, found.weights, liked, titles, of_user=of_user))
        for one, relevance in zip(chosen, relevances(chosen), strict=True)
    )


def relevances(ordered: Sequence[Candidate]) -> list[float]:
    """Scores, best first, as fractions of the best one, at least .01 and falling; a best score that is not above 0 counts as 1 and
    the others by the exponential of their distance to it."""
    if not ordered:
        return []
    best = ordered[0].score
    scaled = (one.score / best if best > 0 else math.exp(one.score - best) for one in ordered)
    return [round(min(1.0, max(LEAST_RELEVANCE, value)), 4) for value in scaled]
