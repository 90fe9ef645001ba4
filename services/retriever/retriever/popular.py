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
    def over(cls, upload: Upload, ids: Sequence[tuple[int, str]], live: Bools, loans: Loans | None) -> Self | None:
        """Of all rows, of which the living ones' `ids` are given; None for an empty space."""
        if not isinstance(upload.content, Scores):
            return None
        scores, none = upload.content.scores, np.empty(0)
        score_of = dict(zip(upload.ids, scores.tolist(), strict=True))
        return cls(upload, score_of, float(scores.min()), none, none, Spread(0.0, 0.0)).changed(ids, live, loans)

    def changed(self, new: Sequence[tuple[int, str]], live: Bools, loans: Loans | None) -> Self:
        """With the rows and ids of what is `new`, and `live` `(count,)` and `loans` as they are now."""
        own = np.full(len(live), np.nan)
        own[: len(self.own)] = self.own
        for row, name in new:
            own[row] = self.score_of.get(name, np.nan)
        scores = np.where(np.isnan(own), self.lowest, own)
        if loans:
            lent, borrowing = loans.means(scores), np.isnan(own[loans.cold]) & loans.served
            scores[loans.cold[borrowing]] = lent[borrowing]
        return replace(self, own=own, scores=scores, spread=Spread.of(scores[live]))
