"""The four sources: what each proposes for a question, how it scores any row, and who found a row. Knows nothing of fusion.

source         raw score of row x                                                       spread over all live rows
content        sum_q w_q cos(q, x) / sum_q w_q over the queries                         closed form
similar        largest cosine with a liked item, both seen from the catalogue's centre  scan, of a sample of many
collaborative  sum over the voices v of W[v, x], or cosine with their mean vector       scan
popular        the uploaded score                                                       known beforehand

The voices of collaborative are the liked items; when none is heard, the queries' nearest items speak for them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, Self

import numpy as np

from retriever.allowed import Allowed
from retriever.bitmaps import of_numbers
from retriever.centred import Centred
from retriever.collaborative import COLD
from retriever.items import Doubles, Floats, Rows
from retriever.nearness import A, A_contra, Choice, Space
from retriever.spread import Spread
from retriever.vectorspace import EXACT_ROWS

if TYPE_CHECKING:
    from retriever.view import View


@dataclass(frozen=True)
class Query:
    """An embedding of unit length `(dim,)` and what it stands for; `weight` is positive."""

    label: str
    embedding: Floats
    weight: float


class Source(Protocol[A_contra]):
    """One source with something to say about the question at hand."""

    @property
    def spread(self) -> Spread:
        """Of the raw scores over all live rows."""

    def top(self, allowed: A_contra, n: int) -> list[Rows]:
        """Lists of at most `n` allowed rows, best first; the first list is the source's own ranking."""

    def raw(self, rows: Rows) -> Doubles:
        """Raw scores of `rows`."""

    def found_by(self, rows: Rows) -> list[str | None]:
        """The query label or liked id that contributed most to each of `rows`."""


class Content(Generic[A]):
    """Near the queries: each query proposes, and so does their weighted mean, which ranks."""

    def __init__(self, space: Space[A], queries: Sequence[Query]) -> None:
        self._space, self._queries = space, queries
        self._embeddings = np.stack([query.embedding for query in queries])
        self._weights = np.array([query.weight for query in queries])
        mean = weighted_mean(queries)
        self._mean, self.spread = mean[np.newaxis], self._space.moments.spread(mean)

    def top(self, allowed: A, n: int) -> list[Rows]:
        asked = self._mean if len(self._queries) == 1 else np.concatenate((self._mean, self._embeddings))
        found = self._space.nearest(asked, n, allowed)
        return [_ordered(scores[rows >= 0], rows[rows >= 0]) for scores, rows in zip(found.scores, found.numbers, strict=True)]

    def raw(self, rows: Rows) -> Doubles:
        scores: Doubles = self._space.products(self._mean, rows)[0].astype(np.float64)
        return scores

    def found_by(self, rows: Rows) -> list[str | None]:
        shares = self._weights[:, np.newaxis] * self._space.products(self._embeddings, rows)
        return [self._queries[best].label for best in shares.argmax(axis=0)]


class Scanned:
    """What the sources share that score every row at once: `_scores` `(count,)`."""

    _scores: Doubles

    def top(self, allowed: Choice, n: int) -> list[Rows]:
        return [best_rows(self._scores, allowed.rows(), n)]

    def raw(self, rows: Rows) -> Doubles:
        scores: Doubles = self._scores[rows]
        return scores


class Alike(Generic[A]):
    """Near the text of one of the liked rows, which are `seen` `(liked, dim)` from the centre of the catalogue and have `names`."""

    def __init__(self, centred: Centred[A], seen: Floats, names: Sequence[str], spread: Spread) -> None:
        self._centred, self._seen, self._names, self.spread = centred, seen, names, spread

    def top(self, allowed: A, n: int) -> list[Rows]:
        return self._best_of(self._centred.nearest_of_candidates(self._seen, n, allowed)[1], n)

    def raw(self, rows: Rows) -> Doubles:
        cosines: Doubles = self._centred.cosines(self._seen, rows).max(axis=0, initial=-1.0).astype(np.float64)
        return cosines

    def found_by(self, rows: Rows) -> list[str | None]:
        return [self._names[place] for place in self._centred.cosines(self._seen, rows).argmax(axis=0)]

    def _best_of(self, found: Rows, n: int) -> list[Rows]:
        rows = np.unique(found[found >= 0])
        return [best_rows(self.raw(rows), rows, n, at=np.arange(len(rows)))]


class Similar(Alike[Allowed]):
    """The same, exactly while there are few rows, and under a filter that leaves few."""

    def __init__(self, view: "View", liked: Rows) -> None:
        centred, rows = view.centred, view.rows
        seen = centred.seen(liked)
        self._many = len(rows) > EXACT_ROWS
        looked_at = rows[:: -(-len(rows) // EXACT_ROWS)] if self._many else rows
        self._scores = np.zeros(0 if self._many else len(view.live))
        scores = centred.cosines(seen, looked_at).max(axis=0).astype(np.float64)
        if not self._many:
            self._scores[rows] = scores
        super().__init__(centred, seen, view.ids(liked.tolist()), Spread.of(scores))

    def top(self, allowed: Allowed, n: int) -> list[Rows]:
        if self._many:
            return self._best_of(self._centred.nearest(self._seen, n, allowed.rows())[1], n)
        return [best_rows(self._scores, allowed.rows(), n)]

    def raw(self, rows: Rows) -> Doubles:
        if self._many:
            return super().raw(rows)
        scores: Doubles = self._scores[rows]
        return scores


class LikedTogether(Scanned):
    """The collaborative source, for voices that its space has heard of: `names` says whose they are."""

    def __init__(self, view: "View", names: Sequence[str], voices: Sequence[Rows]) -> None:
        assert view.collaborative is not None
        self._space, self._names, self._voices = view.collaborative, names, voices
        self._scores = self._space.scores(voices)
        self.spread = Spread.of(self._scores[view.live])

    @classmethod
    def of_liked(cls, view: "View", liked: Rows) -> Self | None:
        """The liked rows speak, cold ones through their lenders; None when nobody is heard."""
        space = view.collaborative
        named = zip(liked.tolist(), view.ids(liked.tolist()), strict=True)
        heard = [(name, voice) for row, name in named if space and len(voice := space.voice(row))]
        return cls(view, [name for name, _ in heard], [voice for _, voice in heard]) if heard else None

    @classmethod
    def of_queries(cls, view: "View", queries: Sequence[Query]) -> Self | None:
        """The queries are taken for an item without interactions: the warm items nearest to their weighted mean speak."""
        if not queries or view.collaborative is None or view.content is None:
            return None
        warm = np.flatnonzero(view.live & (view.collaborative.number != COLD))
        nearest = view.content.nearest(weighted_mean(queries)[np.newaxis], view.lenders, Allowed(of_numbers(warm))).numbers[0]
        nearest = nearest[nearest >= 0]
        if not nearest.size:
            return None
        met = view.content.take(nearest).mean(axis=0)
        label = max(queries, key=lambda query: query.weight * float(query.embedding @ met)).label
        return cls(view, [label], [nearest])

    def found_by(self, rows: Rows) -> list[str | None]:
        given = self._space.contributions(self._voices, rows)
        best = given.argmax(axis=0)
        # where nothing was added nobody spoke for the row
        return [self._names[voice] if given[voice, column] > 0 else None for column, voice in enumerate(best)]


class Prior(Scanned):
    """The popular source."""

    def __init__(self, view: "View") -> None:
        assert view.popular is not None
        self._scores, self.spread = view.popular.scores, view.popular.spread

    def found_by(self, rows: Rows) -> list[str | None]:
        return [None] * len(rows)


def weighted_mean(queries: Sequence[Query]) -> Floats:
    """Of the embeddings `(dim,)`; not of unit length."""
    embeddings = np.stack([query.embedding for query in queries]).astype(np.float64)
    mean: Floats = np.average(embeddings, axis=0, weights=[query.weight for query in queries]).astype(np.float32)
    return mean


def best_rows(scores: Doubles, rows: Rows, n: int, at: Rows | None = None) -> Rows:
    """Of `rows` the `n` with the largest `scores`, best first; of equal ones the older row. `at` places `rows` in `scores`, else by row."""
    scores = scores[rows if at is None else at]
    if len(rows) > n:
        last = np.partition(scores, len(rows) - n)[len(rows) - n]
        above, level = np.flatnonzero(scores > last), np.flatnonzero(scores == last)
        kept = np.sort(np.concatenate((above, level[: n - len(above)])))
        rows, scores = rows[kept], scores[kept]
    return _ordered(scores, rows)


def _ordered(scores: Floats | Doubles, rows: Rows) -> Rows:
    ordered: Rows = rows[np.lexsort((rows, -scores))]
    return ordered
