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
from weakref import WeakKeyDictionary

import numpy as np
from pyroaring import BitMap

from retriever.allowed import Allowed
from retriever.bitmaps import of_numbers
from retriever.items import Bools, Floats, Rows
from retriever.segments.flat import FlatSegment
from retriever.segments.scan import ordered, padded, products
from retriever.segments.sealed import Sealed

EXACT_ROWS = 5_000
"""Up to so many allowed rows are scored one by one."""
GRAPH_LEAST = 0.2
"""Share of the rows that must be allowed for the graph to be asked: far from a query it misses more than near to it."""
GRAPH_MOST = 1_024
"""Candidates that the graph is asked for at most."""
GRAPH_SIGMAS = 3.0
"""Standard deviations more candidates than an uncorrelated filter needs on average."""
PROBED_LEAST = 0.4
"""Share of the rows whose clusters a probed scan looks into at least: filters of all shapes find .985 there at a million rows."""
PROBED_ROWS = 300_000
"""Rows whose clusters are all looked into: there it costs little, and smaller segments need a larger share."""
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

    @cached_property
    def _left(self) -> WeakKeyDictionary[Allowed, Allowed]:
        return WeakKeyDictionary()

    def alive(self, allowed: Allowed | None) -> Allowed:
        """What is allowed and not dead."""
        if allowed is None:
            return self._living
        if not self.dead:
            return allowed
        if (left := self._left.get(allowed)) is None:
            left = self._left[allowed] = Allowed(allowed.numbers - self.dead)
        return left

    @cached_property
    def _living(self) -> Allowed:
        return Allowed(of_numbers(self.segment.numbers) - self.dead)


@dataclass(frozen=True)
class FlatPart:
    """The first `len(numbers)` rows of an append-only segment. `dead` are rows, for a number can be there more than once."""

    segment: FlatSegment
    numbers: Rows
    dead: BitMap


Part = SealedPart | FlatPart


@dataclass(frozen=True)
class PartPlan:
    """How one part was searched: `taken` is graph, ivf, probed or exact; of its `rows` about the `share` is allowed and alive.

    `effort` is the candidates of a graph or the lists of an inverted file, `rescanned` counts queries whose first answer was too short,
    `rerun` those that the sample proved wrong.
    """

    segment: str
    rows: int
    share: float
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
    scores, numbers = ordered(scores, numbers)
    return scores[:, :n], numbers[:, :n]


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
    return scores, numbers, PartPlan("flat", len(kept), len(rows) / max(1, len(kept)), "exact", "flat segments are scanned")


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
            return self._exact("asked for")
        if self.allowed is not None and self.share * len(segment) <= EXACT_ROWS:
            return self._exact(f"about {self.share * len(segment):.0f} rows are allowed")
        if self.share < GRAPH_LEAST or candidates > min(GRAPH_MOST, len(segment)):
            return self._probed(f"a share of {self.share:.4f} is too little for the graph")
        if segment.lists and self.allowed is not None:
            return self._probed("an inverted file takes the filter itself")
        return self._nearest(candidates)

    def _candidates(self) -> int:
        """Of which `n` are left for all but one query in a thousand, if what is allowed does not depend on where it lies."""
        if self.share <= 0:
            return len(self.part.segment) + 1
        return ceil((self.n + GRAPH_SIGMAS * sqrt(self.n * (1 - self.share))) / self.share)

    def _clusters(self) -> float:
        """The share of the rows whose clusters a probed scan looks into."""
        return min(1.0, max(PROBED_LEAST, PROBED_ROWS / len(self.part.segment)))

    def _keeps(self, numbers: Rows) -> Bools:
        kept = numbers >= 0 if self.allowed is None else self.allowed.has(numbers)
        return kept & ~self.part.gone.has(numbers) if self.part.dead else kept

    def _told(self, taken: str, why: str, effort: int = 0, short: Bools | None = None, wrong: Bools | None = None) -> PartPlan:
        segment = self.part.segment
        rescanned, rerun = (0 if which is None else int(which.sum()) for which in (short, wrong))
        return PartPlan(f"{segment.kind} {segment.lo}-{segment.hi}", len(segment), self.share, taken, why, effort, rescanned, rerun)

    def _exact(self, why: str) -> Answer:
        scores, numbers = self.part.segment.scan(self.queries, self.n, self.part.alive(self.allowed), None)
        return scores, numbers, self._told("exact", why)

    def _probed(self, why: str) -> Answer:
        share = self._clusters()
        scores, numbers = self.part.segment.scan(self.queries, self.n, self.part.alive(self.allowed), share)
        short = (numbers[:, -1] < 0) & (share < 1)
        self._again(short, scores, numbers, 1.0)
        wrong = self._wrong(scores, numbers)
        self._again(wrong, scores, numbers, None)
        return scores, numbers, self._told("probed", why, 0, short, wrong)

    def _nearest(self, candidates: int) -> Answer:
        segment, n = self.part.segment, self.n
        effort = max(segment.effort(n) if self.effort is None else self.effort, candidates)
        if self.allowed is not None:
            effort += candidates  # the last of many candidates are found less surely than the first ten
        taken = "ivf" if segment.lists else "graph"
        if self.allowed is None and not self.part.dead:
            scores, numbers = segment.search(self.queries, n, effort)
            if (numbers[:, -1] >= 0).all():
                return scores, numbers, self._told(taken, "no filter", effort)
        scores, numbers = segment.search(self.queries, candidates, effort)
        kept = self._keeps(numbers)
        first = np.argsort(~kept, axis=1, kind="stable")[:, :n]
        kept = np.take_along_axis(kept, first, axis=1)
        scores = np.where(kept, np.take_along_axis(scores, first, axis=1), -np.inf).astype(np.float32)
        numbers = np.where(kept, np.take_along_axis(numbers, first, axis=1), -1)
        scores, numbers = padded(scores, numbers, n)
        short = numbers[:, -1] < 0
        self._again(short, scores, numbers, self._clusters())
        wrong = self._wrong(scores, numbers)
        self._again(wrong, scores, numbers, None)
        why = "no filter" if self.allowed is None else f"a share of {self.share:.4f} is allowed"
        return scores, numbers, self._told(taken, why, effort, short, wrong)

    def _again(self, which: Bools, scores: Floats, numbers: Rows, share: float | None) -> None:
        """Answers the queries `which` anew, in place, by a scan of the nearest `share` of the clusters, or of all allowed rows."""
        if which.any():
            scores[which], numbers[which] = self.part.segment.scan(self.queries[which], self.n, self.part.alive(self.allowed), share)

    def _wrong(self, scores: Floats, numbers: Rows) -> Bools:
        """For each query whether one of a few allowed rows, scored exactly, should have been found and was not."""
        sample = self._sample()
        sampled = self.part.segment.numbers[sample]
        better = products(self.part.segment.vectors, self.queries, sample) > scores[:, -1:] + ROUNDING
        unseen = (numbers[:, None, :] != sampled[None, :, None]).all(axis=2)
        wrong: Bools = (better & unseen).any(axis=1)
        return wrong

    def _sample(self) -> Rows:
        """About SAMPLE of the allowed and live local rows, evenly spaced from a random start; none without a filter."""
        if self.allowed is None:
            return np.empty(0, np.int64)
        step = max(1, self.allowed.count // SAMPLE)
        numbers = self.allowed.every(step, randrange(step))
        found = self.part.segment.locate(numbers[self._keeps(numbers)])
        return found[found >= 0]
