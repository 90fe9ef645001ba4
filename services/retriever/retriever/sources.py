"""The four sources: what each proposes for a question, how it scores any row, and who found a row. Knows nothing of fusion.

source         raw score of row x                                                       spread over all live rows
content        sum_q w_q cos(q, x) / sum_q w_q over the queries                         closed form
similar        largest cosine with a liked item, both seen from the catalogue's centre  scan
collaborative  sum over the voices v of W[v, x], or cosine with their mean vector       scan
popular        the uploaded score                                                       known beforehand

The voices of collaborative are the liked items; when none is heard, the queries' nearest items speak for them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np

from retriever.collaborative import COLD
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
        mean = weighted_mean(queries)
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


class Scanned:
    """What the sources share that score every row at once: `_scores` `(count,)`."""

    _scores: Doubles

    def top(self, allowed: Bools, n: int) -> list[Rows]:
        return [best_rows(self._scores, allowed, n)]

    def raw(self, rows: Rows) -> Doubles:
        scores: Doubles = self._scores[rows]
        return scores


class Similar(Scanned):
    """Near the text of one of the liked rows, as seen from the centre of the catalogue."""

    def __init__(self, view: View, liked: Rows) -> None:
        self._view, self._liked = view, liked
        segment = view.centred.segment
        cosines, self._nearest = segment.largest(segment.take(liked), len(view.live))
        self._scores = cosines.astype(np.float64)
        self.spread = Spread.of(self._scores[view.live])

    def found_by(self, rows: Rows) -> list[str | None]:
        return [self._view.item(int(self._liked[place])).id for place in self._nearest[rows]]


class LikedTogether(Scanned):
    """The collaborative source, for voices that its space has heard of: `names` says whose they are."""

    def __init__(self, view: View, names: Sequence[str], voices: Sequence[Rows]) -> None:
        assert view.collaborative is not None
        self._space, self._names, self._voices = view.collaborative, names, voices
        self._scores = self._space.scores(voices)
        self.spread = Spread.of(self._scores[view.live])

    @classmethod
    def of_liked(cls, view: View, liked: Rows) -> Self | None:
        """The liked rows speak, cold ones through their lenders; None when nobody is heard."""
        space = view.collaborative
        heard = [(view.item(row).id, voice) for row in liked.tolist() if space and len(voice := space.voice(row))]
        return cls(view, [name for name, _ in heard], [voice for _, voice in heard]) if heard else None

    @classmethod
    def of_queries(cls, view: View, queries: Sequence[Query]) -> Self | None:
        """The queries are taken for an item without interactions: the warm items nearest to their weighted mean speak."""
        if not queries or view.collaborative is None:
            return None
        warm = view.live & (view.collaborative.number != COLD)
        _, nearest = view.shelf.segment.nearest(weighted_mean(queries)[np.newaxis], view.lenders, warm)
        if not nearest.size:
            return None
        met = view.shelf.segment.take(nearest[0]).mean(axis=0)
        label = max(queries, key=lambda query: query.weight * float(query.embedding @ met)).label
        return cls(view, [label], [nearest[0]])

    def found_by(self, rows: Rows) -> list[str | None]:
        given = self._space.contributions(self._voices, rows)
        best = given.argmax(axis=0)
        # where nothing was added nobody spoke for the row
        return [self._names[voice] if given[voice, column] > 0 else None for column, voice in enumerate(best)]


class Prior(Scanned):
    """The popular source."""

    def __init__(self, view: View) -> None:
        assert view.popular is not None
        self._scores, self.spread = view.popular.scores, view.popular.spread

    def found_by(self, rows: Rows) -> list[str | None]:
        return [None] * len(rows)


def weighted_mean(queries: Sequence[Query]) -> Floats:
    """Of the embeddings `(dim,)`; not of unit length."""
    embeddings = np.stack([query.embedding for query in queries]).astype(np.float64)
    mean: Floats = np.average(embeddings, axis=0, weights=[query.weight for query in queries]).astype(np.float32)
    return mean


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
