"""The four sources: what each proposes for a question, how it scores any row, and who found a row. Knows nothing of fusion.

source         raw score of row x                                          spread over all live rows
content        sum_q w_q cos(q, x) / sum_q w_q over the queries            closed form
similar        mean of cos(e_l, x) over the liked items l                  closed form
collaborative  sum_l W[l, x], or cosine with the mean of liked vectors     scan
popular        the uploaded score                                          known beforehand
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from retriever.items import Bools, Doubles, Floats, Rows
from retriever.spread import Spread
from retriever.view import View


@dataclass(frozen=True)
class Query:
    """An embedding of unit length `(dim,)` and what it stands for; `weight` is positive."""

    label: str
    embedding: Floats
    weight: float


class Source(Protocol):
    """One source with something to say about the question at hand."""

    @property
    def spread(self) -> Spread:
        """Of the raw scores over all live rows."""

    def top(self, allowed: Bools, n: int) -> list[Rows]:
        """Lists of at most `n` allowed rows, best first; the first list is the source's own ranking."""

    def raw(self, rows: Rows) -> Doubles:
        """Raw scores of `rows`."""

    def found_by(self, rows: Rows) -> list[str | None]:
        """The query label or liked id that contributed most to each of `rows`."""


class Content:
    """Near the queries: each query proposes, and so does their weighted mean, which ranks."""

    def __init__(self, view: View, queries: Sequence[Query]) -> None:
        self._segment, self._queries = view.shelf.segment, queries
        self._embeddings = np.stack([query.embedding for query in queries])
        self._weights = np.array([query.weight for query in queries])
        mean: Floats = np.average(self._embeddings.astype(np.float64), axis=0, weights=self._weights).astype(np.float32)
        self._mean, self.spread = mean[np.newaxis], view.moments.spread(mean)

    def top(self, allowed: Bools, n: int) -> list[Rows]:
        asked = self._mean if len(self._queries) == 1 else np.concatenate((self._mean, self._embeddings))
        scores, rows = self._segment.nearest(asked, n, allowed)
        return [_ordered(*found) for found in zip(scores, rows, strict=True)]

    def raw(self, rows: Rows) -> Doubles:
        scores: Doubles = self._segment.products(self._mean, rows)[0].astype(np.float64)
        return scores

    def found_by(self, rows: Rows) -> list[str | None]:
        shares = self._weights[:, np.newaxis] * self._segment.products(self._embeddings, rows)
        return [self._queries[best].label for best in shares.argmax(axis=0)]


class Similar:
    """Near the texts of the liked rows."""

    def __init__(self, view: View, liked: Rows) -> None:
        self._view, self._segment, self._liked = view, view.shelf.segment, liked
        mean: Floats = self._segment.take(liked).mean(axis=0, dtype=np.float64).astype(np.float32)
        self._mean, self.spread = mean[np.newaxis], view.moments.spread(mean)

    def top(self, allowed: Bools, n: int) -> list[Rows]:
        scores, rows = self._segment.nearest(self._mean, n, allowed)
        return [_ordered(scores[0], rows[0])]

    def raw(self, rows: Rows) -> Doubles:
        scores: Doubles = self._segment.products(self._mean, rows)[0].astype(np.float64)
        return scores

    def found_by(self, rows: Rows) -> list[str | None]:
        cosines = self._segment.products(self._segment.take(self._liked), rows)
        return [self._view.item(int(self._liked[best])).id for best in cosines.argmax(axis=0)]


class LikedTogether:
    """The collaborative source, for liked rows that its space has heard of."""

    def __init__(self, view: View, liked: Rows) -> None:
        assert view.collaborative is not None
        self._view, self._space, self._liked = view, view.collaborative, liked
        self._scores = self._space.scores(liked)
        self.spread = Spread.of(self._scores[view.live])

    def top(self, allowed: Bools, n: int) -> list[Rows]:
        return [best_rows(self._scores, allowed, n)]

    def raw(self, rows: Rows) -> Doubles:
        scores: Doubles = self._scores[rows]
        return scores

    def found_by(self, rows: Rows) -> list[str | None]:
        given = self._space.contributions(self._liked, rows)
        best = given.argmax(axis=0)
        return [
            self._view.item(int(self._liked[liked])).id if given[liked, column] > 0 else None  # nobody spoke for it
            for column, liked in enumerate(best)
        ]


class Prior:
    """The popular source."""

    def __init__(self, view: View) -> None:
        assert view.popular is not None
        self._scores, self.spread = view.popular.scores, view.popular.spread

    def top(self, allowed: Bools, n: int) -> list[Rows]:
        return [best_rows(self._scores, allowed, n)]

    def raw(self, rows: Rows) -> Doubles:
        scores: Doubles = self._scores[rows]
        return scores

    def found_by(self, rows: Rows) -> list[str | None]:
        return [None] * len(rows)


def best_rows(scores: Doubles, allowed: Bools, n: int) -> Rows:
    """The `n` allowed rows with the largest `scores` `(count,)`, best first; of equal ones the older row."""
    rows = np.flatnonzero(allowed)
    if len(rows) > n:
        last = np.partition(scores[rows], len(rows) - n)[len(rows) - n]
        above, level = rows[scores[rows] > last], rows[scores[rows] == last]
        rows = np.sort(np.concatenate((above, level[: n - len(above)])))
    return _ordered(scores[rows], rows)


def _ordered(scores: Floats | Doubles, rows: Rows) -> Rows:
    ordered: Rows = rows[np.lexsort((rows, -scores))]
    return ordered
