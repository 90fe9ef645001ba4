"""The two sources over uploaded spaces, when items are in Milvus. Know nothing of fusion.

The uploaded numbers are in memory; the items they are about are in Milvus, which is asked which of them are there and allowed. An item
of which the space says nothing borrows from nobody, for finding its lenders would look at every item: it has the middle score of the
collaborative source, so that it neither gains nor loses by it, and the lowest of the popular one. Voices do borrow.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Self

import numpy as np

from retriever.backends.milvus.uploads import Heard
from retriever.collaborative import contributions_by_number, scores_by_number
from retriever.items import Doubles, Rows
from retriever.sources import Query, best_rows, weighted_mean
from retriever.spaces import COLLABORATIVE, POPULAR, Neighbours, Vectors
from retriever.spread import Spread

if TYPE_CHECKING:
    from retriever.backends.milvus.stock import Matching, MilvusStock

FEW: Final = 4_096
"""Allowed items that are all read, rather than asked about from the best score down."""
FIRST_ASKED: Final = 1_000
LAST_ASKED: Final = 16_000
"""Ids asked about at once: four times as many each time, up to these."""
DEEPEST: Final = 65_536
"""So many of the best scores are asked about; where fewer are allowed than were wanted, fewer are proposed."""
DEEP: Final = 1_000
"""So far down the items nearest to a silent one are looked through for some that the space has heard of."""
MOST_SILENT: Final = 64
"""Liked items that borrow; further ones that nobody was heard of do not speak."""
SILENT: Final = -1
"""In place of the number of an item that the space has not heard of."""


class Listed:
    """Scores by the numbers of an uploaded space; `silent` is that of items which it has not heard of."""

    def __init__(self, stock: "MilvusStock", heard: Heard, scores: Doubles, silent: float, spread: Spread) -> None:
        self._stock, self._heard, self._scores, self._silent, self.spread = stock, heard, scores, silent, spread

    def top(self, allowed: "Matching", n: int) -> list[Rows]:
        if allowed.count <= FEW:
            numbers = self._numbers(allowed.rows())
            return [self._rows(best_rows(self._scores, np.sort(numbers[numbers != SILENT]), n))]
        found, asked, size = list[str](), 0, max(FIRST_ASKED, 2 * n)
        deepest = min(len(self._heard.said), DEEPEST)
        while len(found) < n and asked < deepest:
            until = min(asked + min(size, LAST_ASKED), deepest)
            next_ones = best_rows(self._scores, self._heard.said, until)[asked:]
            found += allowed.keep([self._heard.upload.ids[number] for number in next_ones.tolist()])
            asked, size = until, 4 * size
        return [self._stock.rows_of(found[:n])]

    def raw(self, rows: Rows) -> Doubles:
        numbers = self._numbers(rows)
        scores: Doubles = np.where(numbers == SILENT, self._silent, self._scores[numbers])
        return scores

    def found_by(self, rows: Rows) -> list[str | None]:
        return [None] * len(rows)

    def _numbers(self, rows: Rows) -> Rows:
        number_of = self._heard.number_of
        return np.array([number_of.get(name, SILENT) for name in self._stock.ids(rows.tolist())], np.int64)

    def _rows(self, numbers: Rows) -> Rows:
        return self._stock.rows_of([self._heard.upload.ids[number] for number in numbers.tolist()])


class Prior(Listed):
    """The popular source."""

    @classmethod
    def of(cls, stock: "MilvusStock") -> Self | None:
        heard = stock.heard.get(POPULAR)
        return cls(stock, heard, heard.scores, float(heard.scores.min()), heard.spread) if heard and len(heard.scores) else None


class Together(Listed):
    """The collaborative source for `voices`, each some numbers with equal shares; `names` says whose they are."""

    def __init__(self, stock: "MilvusStock", heard: Heard, content: Neighbours | Vectors, names: list[str], voices: list[Rows]) -> None:
        scores = scores_by_number(content, voices)
        spread = Spread.of(scores[heard.said])
        super().__init__(stock, heard, scores, spread.mean, spread)
        self._content, self._names, self._voices = content, names, voices

    @classmethod
    def of_liked(cls, stock: "MilvusStock", liked: Rows) -> Self | None:
        """The liked rows speak, silent ones through their lenders; None when nobody is heard."""
        if (found := _spoken(stock)) is None or not len(liked):
            return None
        heard, content = found
        own = {name: heard.number_of.get(name, SILENT) for name in stock.ids(liked.tolist())}
        silent = [row for row, number in zip(liked.tolist(), own.values(), strict=True) if number == SILENT][:MOST_SILENT]
        voices = {name: np.array([number] if number != SILENT else [], np.int64) for name, number in own.items()}
        voices |= zip(stock.ids(silent), _lenders(stock, heard, np.array(silent, np.int64)), strict=True)
        named = [(name, voice) for name, voice in voices.items() if len(voice)]
        return cls(stock, heard, content, [name for name, _ in named], [voice for _, voice in named]) if named else None

    @classmethod
    def of_queries(cls, stock: "MilvusStock", queries: Sequence[Query]) -> Self | None:
        """The queries are taken for a silent item: those that were heard of among the nearest to their weighted mean speak."""
        if (found := _spoken(stock)) is None or not queries:
            return None
        heard, content = found
        nearest = stock.search(weighted_mean(queries)[np.newaxis], DEEP, stock.everything).numbers[0]
        nearest = _heard_of(stock, heard, nearest)[: stock.lenders]
        if not len(nearest):
            return None
        met = stock.take(nearest).mean(axis=0)
        label = max(queries, key=lambda query: query.weight * float(query.embedding @ met)).label
        return cls(stock, heard, content, [label], [_numbers_of(stock, heard, nearest)])

    def found_by(self, rows: Rows) -> list[str | None]:
        numbers = self._numbers(rows)
        heard = np.flatnonzero(numbers != SILENT)
        given = contributions_by_number(self._content, self._voices, numbers[heard])
        names: list[str | None] = [None] * len(rows)
        for at, column in enumerate(heard.tolist()):
            best = int(given[:, at].argmax())
            names[column] = self._names[best] if given[best, at] > 0 else None
        return names


def _spoken(stock: "MilvusStock") -> tuple[Heard, Neighbours | Vectors] | None:
    heard = stock.heard.get(COLLABORATIVE)
    content = heard.upload.content if heard else None
    return (heard, content) if heard and isinstance(content, Neighbours | Vectors) else None


def _lenders(stock: "MilvusStock", heard: Heard, rows: Rows) -> list[Rows]:
    """For each of the silent `rows` the numbers of its lenders, those nearest from the centre; none when there is nobody."""
    if not len(rows):
        return []
    seen, lenders = stock.centred.seen(rows), list[Rows]()
    for query, found in enumerate(stock.search(seen, DEEP, stock.everything).numbers):
        warm = np.sort(_heard_of(stock, heard, found))
        cosines = stock.centred.cosines(seen[query : query + 1], warm)[0].astype(np.float64)
        best = best_rows(cosines, warm, stock.lenders, at=np.arange(len(warm)))
        lenders.append(_numbers_of(stock, heard, np.sort(best)))
    return lenders


def _heard_of(stock: "MilvusStock", heard: Heard, rows: Rows) -> Rows:
    """Those of `rows`, of which -1 is none, that the space says something of."""
    rows = rows[rows >= 0]
    return rows[[name in heard.number_of for name in stock.ids(rows.tolist())]] if len(rows) else rows


def _numbers_of(stock: "MilvusStock", heard: Heard, rows: Rows) -> Rows:
    return np.array([heard.number_of[name] for name in stock.ids(rows.tolist())], np.int64)
