"""Which items an item without interactions borrows its collaborative score from. Knows nothing of the scores.

An item is warm when the uploaded space says something of it, otherwise cold. A cold item borrows from its text-nearest warm items, its
lenders (nearest from the centre of the catalogue). They depend on the present catalogue and its centre only, not on the order in which
items and spaces arrived: a restart changes nothing.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from retriever.allowed import Allowed
from retriever.centred import Centred
from retriever.items import Bools, Doubles, Floats, Rows

NOBODY = -1
LENDERS = 10
"""Text-nearest items whose interactions stand in for those that an item has not (measured: docs/decisions/0003)."""
ROUNDING = 1e-5
"""A new warm item this little below the weakest lender may still belong to the nearest: look again."""


@dataclass(frozen=True)
class Loans:
    """`cold` `(c,)` ascending rows; `lenders` `(c, p)` int32 rows, padded with NOBODY; `weakest` `(c,)` cosine of the last lender."""

    cold: Rows
    lenders: NDArray[np.int32]
    weakest: Floats

    @classmethod
    def none(cls, p: int) -> Self:
        return cls(np.empty(0, np.int64), np.empty((0, p), np.int32), np.empty(0, np.float32))

    def changed(self, centred: Centred[Allowed], warm: Bools, cold: Bools, new: Rows) -> "Loans":
        """For the present `warm` and `cold` rows `(count,)`, of which `new` have just come or moved; only what changed is searched."""
        rows = np.flatnonzero(cold)
        lenders = np.full((len(rows), self.lenders.shape[1]), NOBODY, np.int32)
        weakest = np.full(len(rows), -np.inf, np.float32)
        known, place = np.isin(rows, self.cold), np.searchsorted(self.cold, rows)
        lenders[known], weakest[known] = self.lenders[place[known]], self.weakest[place[known]]
        fresh = np.zeros(len(cold), np.bool_)
        fresh[new] = True
        gone = ((lenders != NOBODY) & (~warm[lenders] | fresh[lenders])).any(axis=1)
        stale = ~known | fresh[rows] | gone | _beaten(centred, rows, weakest, new[warm[new]])
        if stale.any():
            lenders[stale], weakest[stale] = _search(centred, rows[stale], np.flatnonzero(warm), lenders.shape[1])
        return Loans(rows, lenders, weakest)

    @property
    def served(self) -> Bools:
        """Which cold items have a lender `(c,)`."""
        has: Bools = (self.lenders != NOBODY).any(axis=1)
        return has

    def means(self, scores: Doubles) -> Doubles:
        """The mean score of each cold item's lenders `(c,)`; 0 without any. `scores` has one entry per row."""
        return _mean_lent(self.lenders, scores)

    def lenders_of(self, row: int) -> Rows:
        """The lenders of the cold `row`; none when it is warm."""
        place = int(np.searchsorted(self.cold, row))
        if place == len(self.cold) or self.cold[place] != row:
            return np.empty(0, np.int64)
        lent = self.lenders[place]
        lenders: Rows = lent[lent != NOBODY].astype(np.int64)
        return lenders


def _mean_lent(lenders: NDArray[np.int32], scores: Doubles) -> Doubles:
    lent = lenders != NOBODY
    means: Doubles = np.where(lent, scores[lenders], 0.0).sum(axis=1) / np.maximum(lent.sum(axis=1), 1)
    return means


def _beaten(centred: Centred[Allowed], cold: Rows, weakest: Floats, arrived: Rows) -> Bools:
    """Which cold rows one of the warm rows that `arrived` may be nearer to than their weakest lender."""
    if not len(cold) or not len(arrived):
        return np.zeros(len(cold), np.bool_)
    nearest, _ = centred.nearest(centred.seen(cold), 1, arrived)
    beaten: Bools = nearest[:, 0] >= weakest - ROUNDING
    return beaten


def _search(centred: Centred[Allowed], rows: Rows, warm: Rows, p: int) -> tuple[NDArray[np.int32], Floats]:
    scores, found = centred.nearest(centred.seen(rows), p, warm)
    lenders = np.full((len(rows), p), NOBODY, np.int32)
    lenders[:, : found.shape[1]] = np.sort(found, axis=1)  # summed in this order, the same lenders give exactly the same mean
    return lenders, scores[:, -1] if found.shape[1] == p else np.full(len(rows), -np.inf, np.float32)
