"""A space as seen from the centre of the catalogue: how alike items are. Knows nothing of queries and storage."""

from dataclasses import dataclass
from typing import Generic

import numpy as np

from retriever.allowed import Allowed
from retriever.bitmaps import of_numbers
from retriever.centre import SAME, Centre
from retriever.items import Floats, Rows
from retriever.nearness import A, Space
from retriever.segments.scan import MANY_QUERIES
from retriever.vectorspace import EXACT_ROWS

WIDER = 4
"""As many times more candidates, because nearest from the origin is not quite nearest from the centre."""
BLOCK = 2**22
"""Products held at once."""


@dataclass(frozen=True)
class Centred(Generic[A]):
    """A space seen from a centre, without a second copy of its vectors: with unit t the cosine is (t.e - t.mu) / |e - mu|."""

    centre: Centre
    space: Space[A]

    def seen(self, rows: Rows) -> Floats:
        """Unit vectors `(n, dim)` of the items `rows` from the centre."""
        return self.centre.seen_from(self.space.take(rows))

    def cosines(self, seen: Floats, rows: Rows) -> Floats:
        """Of vectors `(q, dim)` as `seen` from the centre with the items `rows`: `(q, n)`."""
        lengths = self._lengths(rows)
        shifts = (seen @ self.centre.mean).astype(np.float32)
        away = self.space.products(seen, rows) - shifts[:, np.newaxis]
        cosines: Floats = np.where(lengths > SAME, away / np.maximum(lengths, SAME), 0.0).astype(np.float32)
        return cosines

    def nearest(self: "Centred[Allowed]", seen: Floats, n: int, among: Rows) -> tuple[Floats, Rows]:
        """Of the rows `among` the `n` with the largest cosine for each vector `(q, dim)`; cosines and rows `(q, m)`, m <= n, best first."""
        n = min(n, len(among))
        scores, found = np.empty((len(seen), n), np.float32), np.empty((len(seen), n), np.int64)
        if n == 0 or not len(seen):
            return scores, found
        if len(among) > EXACT_ROWS:
            return self.nearest_of_candidates(seen, n, Allowed(of_numbers(among)))
        step = max(1, BLOCK // len(among))
        for start in range(0, len(seen), step):
            table = self._table(seen[start : start + step], among)
            for query, row in enumerate(table, start):
                best = _best(row, among, n)
                scores[query], found[query] = row[best], among[best]
        return scores, found

    def _table(self, seen: Floats, among: Rows) -> Floats:
        if len(seen) < MANY_QUERIES:
            return self.cosines(seen, among)
        vectors = self.centre.seen_from(self.space.take(among))
        table: Floats = seen @ vectors.T
        return table

    def nearest_of_candidates(self, seen: Floats, n: int, allowed: A) -> tuple[Floats, Rows]:
        """The same of those that are nearest from the origin; -inf and -1 fill up."""
        scores, found = np.full((len(seen), n), -np.inf, np.float32), np.full((len(seen), n), -1, np.int64)
        candidates = self.space.search(seen, WIDER * n, allowed).numbers
        for query, rows in enumerate(candidates):
            rows = np.sort(rows[rows >= 0])
            cosines = self.cosines(seen[query : query + 1], rows)[0]
            best = _best(cosines, rows, min(n, len(rows)))
            scores[query, : len(best)], found[query, : len(best)] = cosines[best], rows[best]
        return scores, found

    def _lengths(self, rows: Rows) -> Floats:
        """|e - mu| of unit vectors e `(n,)`."""
        mean = self.centre.mean
        squares = 1.0 - 2.0 * self.space.products(mean[np.newaxis].astype(np.float32), rows)[0].astype(np.float64) + float(mean @ mean)
        lengths: Floats = np.sqrt(np.maximum(squares, 0.0)).astype(np.float32)
        return lengths


def _best(scores: Floats, rows: Rows, n: int) -> Rows:
    """Places of the `n` largest scores, best first; of equal ones the smaller row."""
    places = np.argpartition(-scores, n - 1)[:n] if n < len(scores) else np.arange(len(scores))
    if n < len(scores):
        level = scores[places].min()
        above = np.flatnonzero(scores > level)
        places = np.concatenate((above, np.flatnonzero(scores == level)[: n - len(above)]))
    ordered: Rows = places[np.lexsort((rows[places], -scores[places]))]
    return ordered
