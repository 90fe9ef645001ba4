"""What a question is answered from when items are in Milvus: as `retriever.retrieval.Stock`, made anew for each request. Knows no HTTP.

A row is the place of an id among those that came up in this request. Vectors are fetched when they are first needed and kept as long as
the request; one that was deleted meanwhile counts as zero, and its item is left out of the answer.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Final

import numpy as np

from retriever.backends.milvus.expressions import all_of, expression_of, id_in, id_not_in
from retriever.backends.milvus.listed import Prior, Together
from retriever.backends.milvus.nearest import nearest as nearest_in
from retriever.backends.milvus.registry import Space
from retriever.backends.milvus.rows import BRIEF, item_of
from retriever.backends.milvus.sample import Sample
from retriever.backends.milvus.server import Server
from retriever.backends.milvus.uploads import Heard
from retriever.backends.protocol import Ask
from retriever.centred import Centred
from retriever.filters import Expression
from retriever.items import Floats, Item, Rows
from retriever.plan import Found
from retriever.sources import Alike, Content, Query, Source
from retriever.spread import Moments, Spread

IDS_AT_ONCE: Final = 10_000


class Matching:
    """The items that an expression of Milvus holds for, as `retriever.nearness.Choice`."""

    def __init__(self, stock: "MilvusStock", where: str) -> None:
        self.stock, self.where = stock, where

    @cached_property
    def count(self) -> int:
        return self.stock.server.count(self.stock.collection, self.where) if self.stock.collection else 0

    def rows(self) -> Rows:
        return self._rows

    @cached_property
    def _rows(self) -> Rows:
        if not self.stock.collection:
            return np.empty(0, np.int64)
        pages = self.stock.server.pages(self.stock.collection, self.where, [], IDS_AT_ONCE)
        return np.sort(self.stock.rows_of([row["id"] for page in pages for row in page]))

    def keep(self, ids: Sequence[str]) -> list[str]:
        """Those of at most MAX_TOP `ids` that are among them, in their order."""
        found = self.stock.server.some(self.stock.collection, all_of([id_in(ids), self.where]), [], len(ids))
        there = {row["id"] for row in found}
        return [name for name in ids if name in there]


class MilvusStock:
    """Over the content space `space`, of which there is a `sample`, and the uploaded spaces that were `heard`."""

    def __init__(
        self, server: Server, items: str, space: Space | None, sample: Sample | None, heard: Mapping[str, Heard], lenders: int
    ) -> None:
        self.server, self.heard, self.lenders = server, heard, lenders
        self._items, self._space, self._sample = items, space, sample
        self.collection = space.collection if space else ""
        self._names, self._row_of = list[str](), dict[str, int]()
        self._vectors = dict[int, Floats | None]()

    def __len__(self) -> int:
        return self.server.count(self._items)

    @property
    def count(self) -> int:
        return len(self._names)

    @property
    def content(self) -> "MilvusStock | None":
        return self if self._space else None

    @property
    def fingerprint(self) -> str | None:
        return self._space.fingerprint if self._space else None

    @property
    def dimension(self) -> int:
        return self._space.dimension if self._space else 0

    @property
    def moments(self) -> Moments:
        return self._sample.moments if self._sample else Moments.none()

    @cached_property
    def everything(self) -> Matching:
        return Matching(self, "")

    # rows

    def rows_of(self, ids: Sequence[str]) -> Rows:
        """The row of each of `ids`, new ones for those that did not come up before."""
        for name in ids:
            if name not in self._row_of:
                self._row_of[name] = len(self._names)
                self._names.append(name)
        return np.fromiter((self._row_of[name] for name in ids), np.int64, len(ids))

    def numbers(self, ids: Sequence[str]) -> Rows:
        rows = self.rows_of(list(dict.fromkeys(ids)))
        self._fetch(rows)
        return rows[[self._vectors.get(row) is not None for row in rows.tolist()]]

    def ids(self, rows: Sequence[int]) -> list[str]:
        return [self._names[row] for row in rows]

    def items(self, rows: Sequence[int]) -> dict[int, Item]:
        found = self.server.get(self._items, self.ids(rows), BRIEF)
        return {self._row_of[name]: item_of(row, with_text=False) for name, row in found.items()}

    def allowed(self, expression: Expression | None, excluded: Sequence[str]) -> Matching:
        outside = id_not_in(sorted(set(excluded))) if excluded else ""
        return Matching(self, all_of([outside, expression_of(expression) if expression is not None else ""]))

    # vectors

    def take(self, rows: Rows) -> Floats:
        self._fetch(rows)
        nothing = np.zeros(self.dimension, np.float32)
        vectors = (self._vectors.get(row) for row in rows.tolist())
        taken: Floats = np.array([nothing if vector is None else vector for vector in vectors], np.float32)
        return taken.reshape(len(rows), self.dimension)

    def _fetch(self, rows: Rows) -> None:
        if wanted := [row for row in rows.tolist() if row not in self._vectors] if self.collection else []:
            found = self.server.get(self.collection, self.ids(wanted), ["vector"])
            for row, name in zip(wanted, self.ids(wanted), strict=True):
                self._vectors[row] = np.asarray(found[name]["vector"], np.float32) if name in found else None

    def products(self, queries: Floats, rows: Rows) -> Floats:
        # not a matrix product, which may score equal vectors differently by where they lie
        products: Floats = np.einsum("qd,nd->qn", queries.astype(np.float32), self.take(rows))
        return products

    def search(self, queries: Floats, n: int, allowed: Matching) -> Found:
        assert self._space is not None
        hits = nearest_in(self.server, self.collection, self._space.kind, allowed.where, Ask(queries, n), 0)
        scores = np.full((len(queries), n), -np.inf, np.float32)
        numbers = np.full((len(queries), n), -1, np.int64)
        for query, (ids, found) in enumerate(zip(hits.ids, hits.scores, strict=True)):
            scores[query, : len(ids)], numbers[query, : len(ids)] = found, self.rows_of(ids)
        return Found(scores, numbers, [])

    nearest = search

    # sources

    def sources(self, queries: Sequence[Query], liked: Rows) -> Mapping[str, Callable[[], Source[Matching] | None]]:
        if self._sample is None or not self._sample.moments.count:
            return {}
        return {
            "content": lambda: Content(self, queries) if queries else None,
            "similar": lambda: self._similar(liked) if len(liked) else None,
            "collaborative": lambda: Together.of_liked(self, liked) or Together.of_queries(self, queries),
            "popular": lambda: Prior.of(self),
        }

    @cached_property
    def centred(self) -> Centred[Matching]:
        assert self._sample is not None
        return Centred(self._sample.centre, self)

    def _similar(self, liked: Rows) -> Alike[Matching]:
        assert self._sample is not None
        seen = self.centred.seen(liked)
        spread = Spread.of((seen @ self._sample.seen.T).max(axis=0).astype(np.float64))
        return Alike(self.centred, seen, self.ids(liked.tolist()), spread)
