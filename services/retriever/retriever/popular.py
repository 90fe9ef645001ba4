"""The prior: one uploaded score per item. Knows nothing of who asks.

An item without one has the mean score of its lenders where the collaborative space is silent on it too, else the lowest uploaded score.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from retriever.items import Bools, Doubles
from retriever.loans import Loans
from retriever.spaces import Scores, Upload
from retriever.spread import Spread


@dataclass(frozen=True)
class Popular:
    """Scores over the rows of a view `(count,)`: `own` as uploaded or NaN, `scores` without gaps."""

    upload: Upload
    score_of: Mapping[str, float]
    lowest: float
    own: Doubles
    scores: Doubles
    spread: Spread

    @classmethod
    def over(cls, upload: Upload, ids: Sequence[str], live: Bools, loans: Loans | None) -> Self | None:
        """Of all rows, whose `ids` are given; None for an empty space."""
        if not isinstance(upload.content, Scores):
            return None
        scores, none = upload.content.scores, np.empty(0)
        score_of = dict(zip(upload.ids, scores.tolist(), strict=True))
        return cls(upload, score_of, float(scores.min()), none, none, Spread(0.0, 0.0)).changed(ids, live, loans)

    def changed(self, new_ids: Sequence[str], live: Bools, loans: Loans | None) -> Self:
        """With `new_ids` in the rows after the present ones, and `live` `(count,)` and `loans` as they are now."""
        arrived = np.fromiter((self.score_of.get(name, np.nan) for name in new_ids), np.float64, len(new_ids))
        own = np.concatenate((self.own, arrived))
        scores = np.where(np.isnan(own), self.lowest, own)
        if loans:
            lent, borrowing = loans.means(scores), np.isnan(own[loans.cold]) & loans.served
            scores[loans.cold[borrowing]] = lent[borrowing]
        return replace(self, own=own, scores=scores, spread=Spread.of(scores[live]))

    def moved(self, live: Bools) -> Self:
        """After compaction: only live rows are left."""
        return replace(self, own=self.own[live], scores=self.scores[live])
