"""Decides how a filtered query over one sealed segment is answered, and checks that the answer holds. Knows nothing of what a filter means.

The ideas: a graph is searched without the filter, for a selector inside the graph search cuts off the paths to the allowed rows. What
it finds and the filter allows is right as far as the graph is. Whether that will be enough is told by how many rows are allowed in the
clusters near the query, for filters often follow the vectors. Where it is not, the codes of the allowed rows are compared, in the clusters
that promise most, or all allowed rows are scored when they are few.
"""

from dataclasses import dataclass
from functools import cached_property
from random import randrange
from weakref import WeakKeyDictionary

import numpy as np
from pyroaring import BitMap

from retriever.allowed import Allowed
from retriever.bitmaps import of_numbers
from retriever.items import Bools, Doubles, Floats, Rows
from retriever.segments.scan import products
from retriever.segments.sealed import Sealed

EXACT_ROWS = 5_000
"""Up to so many allowed rows are scored one by one."""
GRAPH_MOST, GRAPH_MOST_EACH = 40, 2
"""Candidates that the graph is asked for at most, and so many more for each result. For three times as many it would answer filters that
let through a tenth everywhere in two thirds of the time, and those that follow the vectors twice: first too little, then by their codes."""
UNFILTERED_MOST = 1_024
"""The same without a filter, for results and what has died between them."""
GRAPH_SPARE = 64
"""What the effort is raised by under a filter, on top of the candidates: the last of many are found less surely than the first ten."""
GRAPH_SIGMAS = 3.0
"""Standard deviations more candidates than a filter needs on average that lets through the same share everywhere near the query."""
PROBED_LEAST = 0.42
"""Share of the rows whose clusters a probed scan looks into at least: filters of all shapes find .985 there at a million rows."""
PROBED_ROWS = 300_000
"""Rows whose clusters are all looked into: there it costs little, and smaller segments need a larger share."""
ROUNDS = 2
"""Times that the graph is asked: what the first one leaves of its candidates tells how many more are needed."""
SAMPLE = 32
"""Allowed rows scored to check an approximate answer."""
ROUNDING = 1e-5
"""Scores that differ by less are equal."""


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
class PartPlan:
    """How one part was searched: `taken` is graph, ivf, probed or exact; of its `rows` about the `share` is allowed and alive.

    `effort` is the candidates of a graph or the lists of an inverted file, `rescanned` counts the queries for which that gave too little,
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


Answer = tuple[Floats, Rows, PartPlan]


@dataclass(frozen=True)
class SealedSearch:
    """Queries to one sealed part, of which about `share` of the rows are allowed and alive."""

    part: SealedPart
    queries: Floats
    n: int
    allowed: Allowed | None
    effort: int | None
    share: float

    def answer(self, exact: bool) -> Answer:
        """The nearest `n` of the part; by scoring every allowed row if `exact`."""
        segment = self.part.segment
        if exact:
            return self._exact("asked for")
        if self.allowed is None:
            return self._unfiltered()
        if self.share * len(segment) <= EXACT_ROWS:
            return self._exact(f"about {self.share * len(segment):.0f} rows are allowed")
        if segment.lists:
            return self._probed("an inverted file takes the filter itself")
        candidates = self._candidates(segment.density(self._likeness, self.part.alive(self.allowed)))
        if (candidates > self._most()).all():
            return self._probed(f"a share of {self.share:.4f} is allowed, too few of those near the query")
        return self._nearest(candidates, f"a share of {self.share:.4f} is allowed")

    def _unfiltered(self) -> Answer:
        if not self.part.dead and self.n <= self._most():
            effort = self._effort(0)
            scores, numbers = self.part.segment.search(self.queries, self.n, effort)
            if (numbers[:, -1] >= 0).all():
                return scores, numbers, self._told(self._index, "no filter", effort)
        candidates = self._candidates(np.full(len(self.queries), self.share))
        if candidates[0] > self._most():
            return self._probed(f"{candidates[0]} candidates are too many")
        return self._nearest(candidates, "no filter")

    @cached_property
    def _likeness(self) -> Floats:
        """Of the clusters to the queries `(q, c)`."""
        return self.part.segment.clusters.likeness(self.queries)

    @property
    def _index(self) -> str:
        return "ivf" if self.part.segment.lists else "graph"

    def _most(self) -> int:
        """Candidates that the index may be asked for."""
        return min(UNFILTERED_MOST if self.allowed is None else GRAPH_MOST + GRAPH_MOST_EACH * self.n, len(self.part.segment))

    def _effort(self, candidates: int) -> int:
        """What the index is searched with for so many candidates."""
        effort = max(self.part.segment.effort(self.n) if self.effort is None else self.effort, candidates)
        return effort if self.allowed is None else effort + candidates + GRAPH_SPARE

    def _candidates(self, shares: Doubles) -> Rows:
        """Of which `n` are left for all but one query in a thousand, if such a share of what is near is allowed wherever it lies."""
        shares = np.clip(shares, 1 / (len(self.part.segment) + 1), 1.0)
        wanted: Rows = np.ceil((self.n + GRAPH_SIGMAS * np.sqrt(self.n * (1 - shares))) / shares).astype(np.int64)
        return wanted

    def _read(self) -> float:
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
        scores, numbers = self.part.segment.exact(self.queries, self.n, self.part.alive(self.allowed))
        return scores, numbers, self._told("exact", why)

    def _probed(self, why: str) -> Answer:
        scores, numbers = self._nothing()
        short = self._probe(np.ones(len(self.queries), np.bool_), scores, numbers)
        wrong = self._check(scores, numbers)
        return scores, numbers, self._told("probed", why, 0, short, wrong)

    def _nearest(self, candidates: Rows, why: str) -> Answer:
        """Asks the index for `candidates` `(q,)`, once more where that was too little but not hopeless, and scans where it still is."""
        scores, numbers = self._nothing()
        asked, effort = candidates <= self._most(), 0
        for _ in range(ROUNDS):
            if not asked.any():
                break
            count = int(candidates[asked].max())
            effort = max(effort, self._effort(count))
            kept = self._ask(asked, count, scores, numbers)
            candidates = np.maximum(self._candidates(kept / count), count + 1)
            asked = (numbers[:, -1] < 0) & (candidates <= self._most())
        short = numbers[:, -1] < 0
        self._probe(short, scores, numbers)
        wrong = self._check(scores, numbers)
        return scores, numbers, self._told(self._index, why, effort, short, wrong)

    def _ask(self, which: Bools, count: int, scores: Floats, numbers: Rows) -> Rows:
        """Puts in place the best of the `count` candidates of the queries `which` that may be kept. Tells how many were `(q,)`."""
        likeness, found = self.part.segment.search(self.queries[which], count, self._effort(count))
        keeps = self._keeps(found)
        first = np.argsort(~keeps, axis=1, kind="stable")[:, : self.n]
        kept, width = np.take_along_axis(keeps, first, axis=1), first.shape[1]
        scores[which, :width] = np.where(kept, np.take_along_axis(likeness, first, axis=1), -np.inf)
        numbers[which, :width] = np.where(kept, np.take_along_axis(found, first, axis=1), -1)
        told = np.zeros(len(which), np.int64)
        told[which] = keeps.sum(axis=1)
        return told

    def _nothing(self) -> tuple[Floats, Rows]:
        shape = (len(self.queries), self.n)
        return np.full(shape, -np.inf, np.float32), np.full(shape, -1)

    def _probe(self, which: Bools, scores: Floats, numbers: Rows) -> Bools:
        """Answers the queries `which` anew, in place, from the clusters that promise most; from all where that is little. Tells where."""
        read = self._read()
        self._again(which, scores, numbers, read)
        short = which & (numbers[:, -1] < 0) & (read < 1)
        self._again(short, scores, numbers, 1.0)
        return short

    def _check(self, scores: Floats, numbers: Rows) -> Bools:
        """Answers anew, in place, by scoring every allowed row, the queries that a sample proves wrong. Tells which."""
        wrong = self._wrong(scores, numbers)
        self._again(wrong, scores, numbers, None)
        return wrong

    def _again(self, which: Bools, scores: Floats, numbers: Rows, share: float | None) -> None:
        """Answers the queries `which` anew, in place, by a scan of the nearest `share` of the clusters, or of all allowed rows."""
        if not which.any():
            return
        segment, queries, alive = self.part.segment, self.queries[which], self.part.alive(self.allowed)
        if share is None:
            scores[which], numbers[which] = segment.exact(queries, self.n, alive)
        else:
            scores[which], numbers[which] = segment.scan(queries, self.n, alive, self._likeness[which], share)

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
