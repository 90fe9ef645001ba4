"""Puts together what the parts of a vector space answer to a query. Knows nothing of filters, nor how a sealed part searches."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from pyroaring import BitMap

from retriever.allowed import Allowed
from retriever.items import Floats, Rows
from retriever.sealedsearch import Answer, PartPlan, SealedSearch
from retriever.sealedsearch import SealedPart as SealedPart
from retriever.segments.flat import FlatSegment
from retriever.segments.scan import ordered

BLOCK = 64
"""Queries between two looks at the deadline."""


@dataclass(frozen=True)
class FlatPart:
    """The first `len(numbers)` rows of an append-only segment. `dead` are rows, for a number can be there more than once."""

    segment: FlatSegment
    numbers: Rows
    dead: BitMap


Part = SealedPart | FlatPart


@dataclass(frozen=True)
class Found:
    """Scores float32 and item numbers int64 `(q, n)`, best first, equal scores by the smaller number; -inf and -1 fill up."""

    scores: Floats
    numbers: Rows
    plan: list[PartPlan]


def never() -> None:
    """A deadline that is not there."""


def search(
    parts: Sequence[Part],
    queries: Floats,
    n: int,
    allowed: Allowed | None = None,
    effort: int | None = None,
    exact: bool = False,
    deadline: Callable[[], None] | None = None,
) -> Found:
    """The `n` nearest allowed items of all parts for each query `(q, dim)`, whose vectors must be of unit length.

    `effort` overrules what each segment would choose, `exact` scans. `deadline` is called between pieces of work and may raise.
    """
    queries, plans = np.ascontiguousarray(queries, np.float32), [list[PartPlan]() for _ in parts]
    scores, numbers = np.full((len(queries), n), -np.inf, np.float32), np.full((len(queries), n), -1)
    total = sum(_rows(part) for part in parts)
    for start in range(0, len(queries), BLOCK):
        block, answers = slice(start, start + BLOCK), list[Answer]()
        for part, told in zip(parts, plans, strict=True):
            (deadline or never)()
            answers.append(_one(part, queries[block], n, allowed, effort, exact, total))
            told.append(answers[-1][2])
        if answers:
            scores[block], numbers[block] = _merged(answers, n)
    return Found(scores, numbers, [_together(told) for told in plans if told])


def _together(told: Sequence[PartPlan]) -> PartPlan:
    return replace(told[0], rescanned=sum(plan.rescanned for plan in told), rerun=sum(plan.rerun for plan in told))


def _merged(answers: Sequence[Answer], n: int) -> tuple[Floats, Rows]:
    if len(answers) == 1:
        return answers[0][0], answers[0][1]
    scores = np.concatenate([answer[0] for answer in answers], axis=1)
    numbers = np.concatenate([answer[1] for answer in answers], axis=1)
    scores, numbers = ordered(scores, numbers)
    return scores[:, :n], numbers[:, :n]


def _rows(part: Part) -> int:
    return len(part.numbers) if isinstance(part, FlatPart) else len(part.segment)


def _one(part: Part, queries: Floats, n: int, allowed: Allowed | None, effort: int | None, exact: bool, total: int) -> Answer:
    if isinstance(part, FlatPart):
        return _flat(part, queries, n, allowed)
    live = 1 - len(part.dead) / len(part.segment)
    share = live if allowed is None else min(1.0, allowed.count / total) * live
    return SealedSearch(part, queries, n, allowed, effort, share).answer(exact)


def _flat(part: FlatPart, queries: Floats, n: int, allowed: Allowed | None) -> Answer:
    kept = np.ones(len(part.numbers), np.bool_) if allowed is None else allowed.has(part.numbers)
    kept[np.fromiter(part.dead, np.int64, len(part.dead))] = False
    rows = np.flatnonzero(kept)
    scores, numbers = part.segment.best(queries, n, rows, part.numbers)
    return scores, numbers, PartPlan("flat", len(kept), len(rows) / max(1, len(kept)), "exact", "flat segments are scanned")
