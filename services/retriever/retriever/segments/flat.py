"""Exact inner-product search over an append-only array. Knows nothing of items, only of rows.

The kernels are those that `faiss.IndexFlatIP` calls. They are called on our own array because an index must not be changed while it
is searched, whereas rows beyond the length a reader knows of can be written at any time.
"""

import faiss
import numpy as np

from retriever.items import Bools, Floats, Rows
from retriever.segments.scan import exact, padded

MANY_QUERIES = 20
"""From here on copying the allowed rows together and one matrix product beat scanning row by row."""


def search_on_one_thread() -> None:
    """To be called in each thread that searches: OpenMP's team size belongs to the calling thread."""
    faiss.omp_set_num_threads(1)


class FlatSegment:
    """Vectors `(rows, dim)` float32. One writer appends; readers search the rows they know of, at the same time."""

    def __init__(self) -> None:
        self._buffer: Floats = np.empty((0, 0), np.float32)

    def append(self, at: int, vectors: Floats) -> None:
        """Writes `vectors` to the rows from `at` on; the array doubles when it is full."""
        end = at + len(vectors)
        if end > len(self._buffer) or self._buffer.shape[1] != vectors.shape[1]:
            grown = np.empty((max(1_024, 2 * len(self._buffer), end), vectors.shape[1]), np.float32)
            grown[:at] = self._buffer[:at] if at else 0
            grown[at:end] = vectors
            self._buffer = grown  # readers hold either array; both have the rows they know of
        else:
            self._buffer[at:end] = vectors

    def take(self, rows: Rows) -> Floats:
        """A copy of `rows`."""
        taken: Floats = self._buffer[rows]
        return taken

    def nearest(self, queries: Floats, n: int, allowed: Bools) -> tuple[Floats, Rows]:
        """The `n` allowed rows with the largest inner product for each query, best first.

        `queries` is `(q, dim)`, `allowed` has one entry for each row the caller knows of. Returns scores and rows `(q, m)` with
        m = n, or fewer when fewer rows are allowed.
        """
        queries, vectors = np.ascontiguousarray(queries, np.float32), self._buffer
        n = min(n, int(np.count_nonzero(allowed)))
        if n == 0:
            return np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
        if len(queries) >= MANY_QUERIES:
            rows = np.flatnonzero(allowed)
            scores, found = faiss.knn(queries, vectors[rows], n, metric=faiss.METRIC_INNER_PRODUCT)
            return scores, rows[found]
        scores, found = np.empty((len(queries), n), np.float32), np.empty((len(queries), n), np.int64)
        bits = np.packbits(allowed, bitorder="little")
        selector = faiss.IDSelectorBitmap(len(bits), faiss.swig_ptr(bits))
        faiss.knn_inner_product(
            faiss.swig_ptr(queries),
            faiss.swig_ptr(vectors),
            queries.shape[1],
            len(queries),
            len(allowed),
            n,
            faiss.swig_ptr(scores),
            faiss.swig_ptr(found),
            selector,
        )
        return scores, found

    def best(self, queries: Floats, n: int, rows: Rows, numbers: Rows) -> tuple[Floats, Rows]:
        """The nearest `n` of `rows` (ascending, below `len(numbers)`) for each query: scores and item numbers `numbers[row]`.

        Both `(q, n)`, best first, equal scores by the smaller number, filled up with -inf and -1.
        """
        queries = np.ascontiguousarray(queries, np.float32)
        return padded(*exact(self._buffer[: len(numbers)], queries, n, rows, numbers), n)

    def largest(self, queries: Floats, count: int) -> tuple[Floats, Rows]:
        """For each of the first `count` rows the largest inner product with any of `queries`, and the place of that query."""
        queries, rows = np.ascontiguousarray(queries, np.float32), np.arange(count)
        if len(queries) >= MANY_QUERIES:
            products, places = faiss.knn(self._buffer[:count], queries, 1, metric=faiss.METRIC_INNER_PRODUCT)
            return products[:, 0], places[:, 0]
        table = self.products(queries, rows)
        best = table.argmax(axis=0)
        return table[best, rows], best

    @property
    def vectors(self) -> Floats:
        """The whole array; rows beyond what the caller knows of mean nothing."""
        return self._buffer

    def products(self, queries: Floats, rows: Rows) -> Floats:
        """Inner products `(q, len(rows))`."""
        return inner_products(queries, self._buffer, rows)


def inner_products(queries: Floats, vectors: Floats, rows: Rows) -> Floats:
    """`(q, len(rows))` of `queries` with `rows` of `vectors`, each computed alike: equal vectors get equal scores wherever they lie."""
    queries = np.ascontiguousarray(queries, np.float32)
    wanted = np.ascontiguousarray(np.broadcast_to(rows, (len(queries), len(rows))), np.int64)
    scores = np.empty(wanted.shape, np.float32)
    if scores.size:
        faiss.fvec_inner_products_by_idx(  # type: ignore[attr-defined]  # SWIG makes it at import
            faiss.swig_ptr(scores),
            faiss.swig_ptr(queries),
            faiss.swig_ptr(vectors),
            faiss.swig_ptr(wanted),
            queries.shape[1],
            len(queries),
            len(rows),
        )
    return scores
