"""Mean and standard deviation of a source's scores over the whole space. Knows nothing of what the scores mean."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
from pyroaring import BitMap

from retriever.bitmaps import rows_of
from retriever.items import Doubles, Floats, Rows

FLAT_COSINE = 1e-5
"""Cosines that spread less than this differ by float32 rounding only."""
FLAT_SHARE = 1e-6
"""The same for scores of any scale, as a share of the largest."""
SAMPLED = 16_384
"""Vectors whose products are enough for the spread of very many."""
BLOCK = 8_192
"""Vectors turned into float64 at once."""


@dataclass(frozen=True)
class Spread:
    """`mean` and `std` of the scores; std 0 means that the source says the same of every item."""

    mean: float
    std: float

    @classmethod
    def of(cls, scores: Doubles) -> Self:
        """By a scan over all scores `(items,)`."""
        if not len(scores):
            return cls(0.0, 0.0)
        std = float(scores.std())
        return cls(float(scores.mean()), std if std > FLAT_SHARE * float(np.abs(scores).max()) else 0.0)

    def standard(self, raw: Doubles) -> Doubles:
        """Standard deviations above the mean; 0 everywhere when there is no spread."""
        return (raw - self.mean) / self.std if self.std else np.zeros_like(raw)


@dataclass(frozen=True)
class Moments:
    """Sum and second-moment matrix of all vectors: gives the spread of any query's inner products without a scan.

    For a score s = q.x the mean is q.mu and E[s^2] is q' M q, with mu = `total` / count `(dim,)` and M = `outer` / count `(dim, dim)`,
    all float64.
    """

    count: int
    total: Doubles
    outer: Doubles

    @classmethod
    def none(cls) -> Self:
        return cls(0, np.zeros(0), np.zeros((0, 0)))

    @classmethod
    def of(cls, vectors: Floats) -> Self:
        dim = vectors.shape[1]
        total, outer = np.zeros(dim), np.zeros((dim, dim))
        for start in range(0, len(vectors), BLOCK):
            block = vectors[start : start + BLOCK].astype(np.float64)
            total += block.sum(axis=0)
            outer += block.T @ block
        return cls(len(vectors), total, outer)

    @classmethod
    def about(cls, vectors: Floats) -> Self:
        """The same with `outer` from some SAMPLED of them, which tells a standard deviation to half a percent at a tenth of the time."""
        few = cls.of(vectors[:: max(1, len(vectors) // SAMPLED)])
        if few.count == len(vectors):
            return few
        blocks = (vectors[start : start + BLOCK].sum(axis=0, dtype=np.float64) for start in range(0, len(vectors), BLOCK))
        return cls(len(vectors), np.sum(list(blocks), axis=0), few.outer * (len(vectors) / few.count))

    def plus(self, other: "Moments") -> "Moments":
        """Of both sets of vectors together."""
        return self._plus(other, 1)

    def minus(self, other: "Moments") -> "Moments":
        """Without the vectors of `other`, which must be among these."""
        return self._plus(other, -1)

    def _plus(self, other: "Moments", sign: int) -> "Moments":
        if not other.count:
            return self
        if not self.count:
            return other
        count = self.count + sign * other.count
        if not count:
            return Moments.none()  # and no rounding residue
        return Moments(count, self.total + sign * other.total, self.outer + sign * other.outer)

    def spread(self, query: Floats) -> Spread:
        """Of the inner products of `query` `(dim,)` with all vectors, which must be of unit length or shorter."""
        if not self.count:
            return Spread(0.0, 0.0)
        wide = query.astype(np.float64)
        mean = float(wide @ self.total) / self.count
        # einsum, because a BLAS call this small loses more to waking its threads than they gain
        square = float(wide @ np.einsum("ij,j->i", self.outer, wide)) / self.count
        std = max(0.0, square - mean * mean) ** 0.5
        return Spread(mean, std if std > FLAT_COSINE else 0.0)


class Tally:
    """The moments of a set of vectors that changes, added up when somebody asks and kept: a write that nobody reads costs nothing.

    `take(rows)` gives the vectors of rows, which never change.
    """

    def __init__(self, take: Callable[[Rows], Floats]) -> None:
        self._take = take
        self._kept = BitMap(), Moments.none()

    def of(self, rows: BitMap) -> Moments:
        """Of the vectors of `rows`."""
        counted, moments = self._kept  # one reader's sum may replace another's; both are right
        for block in self._blocks(rows - counted):
            moments = moments.plus(block)
        for block in self._blocks(counted - rows):
            moments = moments.minus(block)
        self._kept = rows, moments
        return moments

    def _blocks(self, rows: BitMap) -> Iterator[Moments]:
        places = rows_of(rows)
        for start in range(0, len(places), BLOCK):
            yield Moments.of(self._take(places[start : start + BLOCK]))
