"""Decides for each segment how a filtered query is answered, and checks that the answer holds. Knows nothing of what a filter means.

The ideas: a graph is searched without the filter, for a selector inside the graph search cuts off the paths to the allowed rows. What it
finds and the filter allows is right as far as the graph is; if that is too little, or the filter too narrow, allowed rows are scored
one by one: all of them, or those of the clusters nearest to the query.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil, sqrt
from random import randrange

import numpy as np
from pyroaring import BitMap

from retriever.allowed import Allowed
from retriever.items import Bools, Floats, Rows
from retriever.segments.flat import FlatSegment
from retriever.segments.scan import padded, products
from retriever.segments.sealed import Sealed

EXACT_ROWS = 5_000
"""Up to so many allowed rows are scored one by one."""
GRAPH_LEAST = 0.08
"""Share of rows that must be allowed for the graph to be tried."""
GRAPH_MOST = 512
"""Candidates that the graph is asked for at most before scanning is faster."""
GRAPH_SIGMAS = 3.0
"""Standard deviations more candidates than an uncorrelated filter needs on average."""
SHARE = 0.06
"""Of the allowed rows, scored by a probed scan."""
SAMPLE = 64
"""Allowed rows scored to check an approximate answer."""
ROUNDING = 1e-5
"""Scores that differ by less are equal."""
BLOCK = 64
"""Queries between two looks at the deadline."""


@dataclass(frozen=True)
class SealedPart:
    """`dead`: the numbers of items whose vector here was overwritten or deleted."""

    segment: Sealed
    dead: BitMap

    @cached_property
    def gone(self) -> Allowed:
        """`dead` in the form that is quick to ask."""
        return Allowed(self.dead)


@dataclass(frozen=True)
class FlatPart:
    """The first `len(numbers)` rows of an append-only segment. `dead` are rows, for a number can be there more than once."""

    segment: FlatSegment
    numbers: Rows
    dead: BitMap


Part = SealedPart | FlatPart


@dataclass(frozen=True)
class PartPlan:
    """How one part was searched: `taken` is graph, ivf, probed or exact; `rows` are all, `allowed` those the filter leaves.

    `effort` is the candidates of a graph or the lists of an inverted file, `rescanned` counts queries whose first answer was too short,
    `rerun` those that the sample proved wrong.
    """

    segment: str
    rows: int
    allowed: int | None
    taken: str
    why: str
    effort: int = 0
    rescanned: int = 0
    rerun: int = 0


@dataclass(frozen=True)
class Found:
    """Scores float32 and item numbers int64 `(q, n)`, best first, equal scores by the smaller number; -inf and -1 fill up."""

    scores: Floats
    numbers: Rows
    plan: list[PartPlan]


Answer = tuple[Floats, Rows, PartPlan]


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
    order = np.lexsort((numbers, -scores), axis=1)[:, :n]
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(numbers, order, axis=1)


def _rows(part: Part) -> int:
    return len(part.numbers) if isinstance(part, FlatPart) else len(part.segment)


def _one(part: Part, queries: Floats, n: int, allowed: Allowed | None, effort: int | None, exact: bool, total: int) -> Answer:
    if isinstance(part, FlatPart):
        return _flat(part, queries, n, allowed)
    live = 1 - len(part.dead) / len(part.segment)
    share = live if allowed is None else min(1.0, allowed.count / total) * live
    return _Search(part, queries, n, allowed, effort, share).answer(exact)


def _flat(part: FlatPart, queries: Floats, n: int, allowed: Allowed | None) -> Answer:
    kept = np.ones(len(part.numbers), np.bool_) if allowed is None else allowed.has(part.numbers)
    kept[np.fromiter(part.dead, np.int64, len(part.dead))] = False
    rows = np.flatnonzero(kept)
    scores, numbers = part.segment.best(queries, n, rows, part.numbers)
    return scores, numbers, PartPlan("flat", len(kept), len(rows), "exact", "flat segments are scanned")


@dataclass(frozen=True)
class _Search:
    """Queries to one sealed part, of which about `share` of the rows are allowed and alive."""

    part: SealedPart
    queries: Floats
    n: int
    allowed: Allowed | None
    effort: int | None
    share: float

    def answer(self, exact: bool) -> Answer:
        segment, candidates = self.part.segment, self._candidates()
        if exact:
            return self._scan("asked for", None)
        if self.allowed is not None and self.share * len(segment) <= EXACT_ROWS:
            return self._scan(f"at most {EXACT_ROWS} rows are allowed", None)
        if candidates > min(GRAPH_MOST, len(segment)):
            return self._scan(f"a share of {self.share:.4f} is too little for the graph", SHARE)
        return self._graph(candidates)

    def _candidates(self) -> int:
        """Of which `n` are left for all but one query in a thousand, if what is allowed does not depend on where it lies."""
        if self.share <= 0:
            return len(self.part.segment) + 1
        return ceil((self.n + GRAPH_SIGMAS * sqrt(self.n * (1 - self.share))) / self.share)

    def _keeps(self, numbers: Rows) -> Bools:
        kept = numbers >= 0 if self.allowed is None else self.allowed.has(numbers)
        return kept & ~self.part.gone.has(numbers) if self.part.dead else kept

    @cached_property
    def _local(self) -> Rows:
        """The local rows that are allowed and alive, ascending."""
        segment = self.part.segment
        rows = np.arange(len(segment)) if self.allowed is None else segment.rows(self.allowed)
        return rows[~self.part.gone.has(segment.numbers[rows])] if self.part.dead else rows

    def _told(self, taken: str, why: str, allowed: int | None, effort: int = 0, rescanned: int = 0, rerun: int = 0) -> PartPlan:
        segment = self.part.segment
        name = f"{segment.kind} {segment.lo}-{segment.hi}"
        return PartPlan(name, len(segment), allowed, taken, why, effort, rescanned, rerun)

    def _scan(self, why: str, share: float | None) -> Answer:
        if share is not None and len(self._local) <= EXACT_ROWS:
            why, share = f"at most {EXACT_ROWS} rows are allowed", None
        scores, numbers = self.part.segment.scan_rows(self.queries, self.n, self._local, share)
        wrong = self._wrong(scores, numbers, self._local) if share is not None else np.zeros(len(self.queries), np.bool_)
        if wrong.any():
            scores[wrong], numbers[wrong] = self.part.segment.scan_rows(self.queries[wrong], self.n, self._local, None)
        taken = "exact" if share is None else "probed"
        return scores, numbers, self._told(taken, why, len(self._local), rerun=int(wrong.sum()))

    def _graph(self, candidates: int) -> Answer:
        segment, n = self.part.segment, self.n
        effort = max(segment.effort(n) if self.effort is None else self.effort, candidates)
        scores, numbers = segment.search(self.queries, candidates, effort)
        kept = self._keeps(numbers)
        first = np.argsort(~kept, axis=1, kind="stable")[:, :n]
        kept = np.take_along_axis(kept, first, axis=1)
        scores = np.where(kept, np.take_along_axis(scores, first, axis=1), -np.inf).astype(np.float32)
        numbers = np.where(kept, np.take_along_axis(numbers, first, axis=1), -1)
        scores, numbers = padded(scores, numbers, n)
        short = numbers[:, -1] < 0
        if short.any():
            self._again(short, scores, numbers, SHARE)
        wrong = self._wrong(scores, numbers, None)
        if wrong.any():
            self._again(wrong, scores, numbers, None)
        why = "no filter" if self.allowed is None else f"a share of {self.share:.4f} is allowed"
        return scores, numbers, self._told("graph", why, None, effort, int(short.sum()), int(wrong.sum()))

    def _again(self, which: Bools, scores: Floats, numbers: Rows, share: float | None) -> None:
        again = replace(self, queries=self.queries[which])
        scores[which], numbers[which], _ = again._scan("", share)

    def _wrong(self, scores: Floats, numbers: Rows, rows: Rows | None) -> Bools:
        """For each query whether one of a few allowed rows, scored exactly, should have been found and was not."""
        sample = self._sample(rows)
        if not len(sample):
            return np.zeros(len(self.queries), np.bool_)
        sampled = self.part.segment.numbers[sample]
        better = products(self.part.segment.vectors, self.queries, sample) > scores[:, -1:] + ROUNDING
        unseen = (numbers[:, None, :] != sampled[None, :, None]).all(axis=2)
        wrong: Bools = (better & unseen).any(axis=1)
        return wrong

    def _sample(self, rows: Rows | None) -> Rows:
        if rows is not None:
            return _spaced(rows)
        if self.allowed is None:
            return np.empty(0, np.int64)
        numbers = _spaced(self.allowed.rows())
        found = self.part.segment.locate(numbers[self._keeps(numbers)])
        return found[found >= 0]


def _spaced(rows: Rows) -> Rows:
    """About SAMPLE of them, evenly spaced from a random start."""
    step = max(1, len(rows) // SAMPLE)
    return rows[randrange(step) :: step]
