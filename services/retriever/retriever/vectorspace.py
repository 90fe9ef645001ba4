"""The vectors of one space at one moment, whatever segments they lie in. Knows nothing of items, storage and threads.

Rows are item numbers. A number is alive in one part only: sealed segments hold ranges of versions, the memory what came after; what was
overwritten or deleted is dead in its part until the part is built again. Immutable; every change gives the next value.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
from pyroaring import BitMap

from retriever.allowed import Allowed
from retriever.bitmaps import of_numbers, rows_of
from retriever.identity import Identity
from retriever.items import Bools, Doubles, Floats, Rows
from retriever.memory import Memory
from retriever.plan import Found, SealedPart, search
from retriever.segments.scan import products as products_of
from retriever.segments.sealed import Sealed
from retriever.spread import BLOCK, Moments, Tally

EXACT_ROWS = 65_536
"""Up to so many vectors recommendations are computed exactly."""


@dataclass(frozen=True, eq=False)
class Closed:
    """A sealed segment, which of its item numbers are dead, and the sum of their vectors `(dim,)`."""

    segment: Sealed
    dead: BitMap
    buried: Doubles
    _tally: Tally

    @classmethod
    def of(cls, segment: Sealed, dead: BitMap) -> Self:
        def take(numbers: Rows) -> Floats:
            taken: Floats = segment.vectors[segment.locate(numbers)]
            return taken

        numbers, buried = rows_of(dead), np.zeros(segment.vectors.shape[1])
        for start in range(0, len(numbers), BLOCK):
            buried += take(numbers[start : start + BLOCK]).sum(axis=0, dtype=np.float64)
        return cls(segment, dead, buried, Tally(take))

    def __len__(self) -> int:
        return len(self.segment)

    @property
    def lo(self) -> int:
        return self.segment.lo

    @property
    def hi(self) -> int:
        return self.segment.hi

    @property
    def live(self) -> int:
        return len(self.segment) - len(self.dead)

    @cached_property
    def part(self) -> SealedPart:
        """For the planner."""
        return SealedPart(self.segment, self.dead)

    def locate(self, numbers: Rows) -> Rows:
        """The local row of each of `numbers` that is alive here, or -1."""
        rows = self.segment.locate(numbers)
        if len(self.dead):
            rows[Allowed(self.dead).has(numbers)] = -1
        return rows

    def take(self, rows: Rows) -> Floats:
        taken: Floats = self.segment.vectors[rows]
        return taken

    @cached_property
    def living(self) -> tuple[Rows, Rows]:
        """Local rows and numbers of what is alive."""
        numbers = self.segment.numbers
        rows = np.flatnonzero(~Allowed(self.dead).has(numbers)) if len(self.dead) else np.arange(len(numbers))
        return rows, numbers[rows]

    def without(self, numbers: Rows) -> "Closed":
        dead = self.dead | of_numbers(numbers)
        died = self.segment.vectors[self.segment.locate(numbers)]
        return replace(self, dead=dead, buried=self.buried + died.sum(axis=0, dtype=np.float64))

    @property
    def total(self) -> Doubles:
        """The sum of the living vectors `(dim,)`."""
        return self.segment.moments.total - self.buried

    @cached_property
    def moments(self) -> Moments:
        """Of the living vectors."""
        return self.segment.moments.minus(self._tally.of(self.dead))


@dataclass(frozen=True, eq=False)
class VectorSpace:
    """`closed` in the order of their versions, then `memories`, the last of which takes what comes."""

    identity: Identity
    closed: tuple[Closed, ...]
    memories: tuple[Memory, ...]

    @classmethod
    def empty(cls, identity: Identity, lo: int = 0) -> Self:
        return cls(identity, (), (Memory.empty(lo, identity.dimension),))

    @property
    def dimension(self) -> int:
        return self.identity.dimension

    @property
    def parts(self) -> tuple[Closed | Memory, ...]:
        return (*self.closed, *self.memories)

    def __len__(self) -> int:
        """Living vectors."""
        return self._live

    @cached_property
    def _live(self) -> int:
        return sum(part.live for part in self.parts)

    @cached_property
    def moments(self) -> Moments:
        """Of all living vectors."""
        moments = Moments.none()
        for part in self.parts:
            moments = moments.plus(part.moments)
        return moments

    @property
    def mean(self) -> Doubles:
        """Of all living vectors, of which there must be some `(dim,)`."""
        mean: Doubles = np.sum([part.total for part in self.parts], axis=0) / len(self)
        return mean

    @property
    def unsealed(self) -> int:
        return sum(memory.live for memory in self.memories)

    @property
    def dead(self) -> int:
        return sum(len(part) - part.live for part in self.parts)

    def put(self, numbers: Rows, versions: Rows, vectors: Floats) -> "VectorSpace":
        """With these vectors `(n, dim)`, whose versions are larger than all before; what they replace must be gone already."""
        fresh = self.memories[-1].appended(numbers, versions, vectors)
        return replace(self, memories=(*self.memories[:-1], fresh))

    def without(self, numbers: Rows, versions: Rows) -> "VectorSpace":
        """Without the living vectors of these numbers, whose versions are given."""
        if not len(numbers):
            return self
        closed = []
        for part in self.closed:
            inside = (versions >= part.lo) & (versions < part.hi)
            closed.append(part.without(numbers[inside]) if inside.any() else part)
        memories = tuple(memory.without(np.sort(versions).tolist()) if versions.max() >= memory.lo else memory for memory in self.memories)
        return replace(self, closed=tuple(closed), memories=memories)

    def frozen(self, next_version: int) -> "VectorSpace":
        """With a new empty memory for what comes from `next_version` on; the present one is left as it is."""
        return replace(self, memories=(*self.memories, Memory.empty(next_version, self.dimension)))

    def sealed(self, lo: int, hi: int, segment: Sealed | None, killed: Rows) -> "VectorSpace":
        """With `segment` in the place of the parts within [lo, hi); of its versions those in `killed` have died since it was begun."""
        closed = [part for part in self.closed if not lo <= part.lo < hi]
        if segment is not None:
            closed.append(Closed.of(segment, of_numbers(segment.numbers[np.isin(segment.versions, killed)])))
        memories = [memory for memory in self.memories if memory.lo >= hi or memory.lo < lo]
        return replace(self, closed=tuple(sorted(closed, key=lambda part: part.lo)), memories=tuple(memories))

    def has(self, numbers: Rows) -> Bools:
        """Which of `numbers` have a vector here."""
        found = np.zeros(len(numbers), np.bool_)
        for part in self.parts:
            found |= part.locate(numbers) >= 0
        return found

    def take(self, numbers: Rows) -> Floats:
        """A copy of the vectors `(n, dim)`; NaN where there is none."""
        taken = np.full((len(numbers), self.dimension), np.nan, np.float32)
        for part in self.parts:
            rows = part.locate(numbers)
            here = rows >= 0
            if here.any():
                taken[here] = part.take(rows[here])
        return taken

    def search(
        self,
        queries: Floats,
        n: int,
        allowed: Allowed | None,
        *,
        effort: int | None = None,
        exact: bool = False,
        deadline: Callable[[], None] | None = None,
    ) -> Found:
        """The `n` nearest living items that are allowed, for each of `queries` `(q, dim)`."""
        if allowed is not None and allowed.count < n:
            n = max(1, allowed.count)
        return search([part.part for part in self.parts if len(part)], queries, n, allowed, effort, exact, deadline)

    def nearest(self, queries: Floats, n: int, allowed: Allowed) -> Found:
        """The same, exactly while the space is small."""
        return self.search(queries, n, allowed, exact=len(self) <= EXACT_ROWS)

    def products(self, queries: Floats, numbers: Rows) -> Floats:
        """Inner products `(q, n)`, each computed alike, so that equal vectors get equal scores wherever they lie; NaN without a vector."""
        queries = np.ascontiguousarray(queries, np.float32)
        products = np.full((len(queries), len(numbers)), np.nan, np.float32)
        for part in self.parts:
            rows = part.locate(numbers)
            here = np.flatnonzero(rows >= 0)
            if len(here):
                products[:, here] = products_of(part.segment.vectors, queries, rows[here])
        return products

    def living(self) -> Rows:
        """The numbers that have a vector here, ascending."""
        of_memories = [memory.numbers[memory.alive] for memory in self.memories]
        numbers = np.concatenate([*(part.living[1] for part in self.closed), *of_memories])
        return np.sort(numbers)

    def rows_between(self, lo: int, hi: int) -> int:
        """How many living vectors have a version in [lo, hi), of whole parts."""
        return sum(part.live for part in self.parts if lo <= part.lo < hi)
