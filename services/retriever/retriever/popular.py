"""The prior: one uploaded score per item. Knows nothing of who asks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from retriever.items import Bools, Doubles
from retriever.spaces import Scores, Upload
from retriever.spread import Spread


@dataclass(frozen=True)
class Popular:
    """The uploaded scores over the rows of a view `(count,)`; an item without one has the lowest that was uploaded."""

    upload: Upload
    score_of: Mapping[str, float]
    lowest: float
    scores: Doubles
    spread: Spread

    @classmethod
    def over(cls, upload: Upload, ids: Sequence[str], live: Bools) -> Self | None:
        """Of all rows, whose `ids` are given; None for an empty space."""
        if not isinstance(upload.content, Scores):
            return None
        scores = upload.content.scores
        score_of = dict(zip(upload.ids, scores.tolist(), strict=True))
        return cls(upload, score_of, float(scores.min()), np.empty(0), Spread(0.0, 0.0)).changed(ids, live)

    def changed(self, new_ids: Sequence[str], live: Bools) -> Self:
        """With `new_ids` in the rows after the present ones, and `live` `(count,)` as it is now."""
        arrived = np.fromiter((self.score_of.get(name, self.lowest) for name in new_ids), np.float64, len(new_ids))
        scores = np.concatenate((self.scores, arrived))
        return type(self)(self.upload, self.score_of, self.lowest, scores, Spread.of(scores[live]))

    def moved(self, live: Bools) -> Self:
        """After compaction: only live rows are left."""
        return type(self)(self.upload, self.score_of, self.lowest, self.scores[live], self.spread)
