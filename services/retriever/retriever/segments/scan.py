"""Exact scores of chosen rows, and the best of them. Knows nothing of filters or of how rows were chosen."""

import faiss
import numpy as np

from retriever.items import Floats, Rows

MANY_QUERIES = 20
"""From here on copying the rows together and one matrix product beat scoring row by row."""
SPARE = 8
"""More candidates than asked for, because a matrix product rounds by where a row lies."""
ROUNDING = 1e-5
"""Inner products of unit vectors that differ by less may be equal."""


def products(vectors: Floats, queries: Floats, rows: Rows) -> Floats:
    """Inner products `(q, m)` of queries `(q, dim)` with `rows` `(m,)` or `(q, m)`, equal vectors scoring alike wherever they lie."""
    wanted = np.ascontiguousarray(np.broadcast_to(rows, (len(queries), rows.shape[-1])), np.int64)
    scores = np.empty(wanted.shape, np.float32)
    if scores.size:
        faiss.fvec_inner_products_by_idx(  # type: ignore[attr-defined]  # SWIG makes it at import
            faiss.swig_ptr(scores),
            faiss.swig_ptr(queries),
            faiss.swig_ptr(vectors),
            faiss.swig_ptr(wanted),
            queries.shape[1],
            len(queries),
            wanted.shape[1],
        )
    return scores


def best(scores: Floats, numbers: Rows, n: int) -> tuple[Floats, Rows]:
    """The `n` largest of `scores` `(m,)` with their item numbers, best first, equal scores by the smaller number."""
    if len(scores) > n:
        least = np.partition(scores, len(scores) - n)[len(scores) - n]
        kept = np.flatnonzero(scores >= least)
        scores, numbers = scores[kept], numbers[kept]
    order = np.lexsort((numbers, -scores))[:n]
    return scores[order], numbers[order]


def ordered(scores: Floats, numbers: Rows) -> tuple[Floats, Rows]:
    """Both `(q, m)` best first in each row, equal scores by the smaller number."""
    if not (scores[:, 1:] >= scores[:, :-1]).any():
        return scores, numbers
    order = np.lexsort((numbers, -scores), axis=1)
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(numbers, order, axis=1)


def padded(scores: Floats, numbers: Rows, n: int) -> tuple[Floats, Rows]:
    """Both `(q, m)` brought to `(q, n)` with -inf and -1."""
    short = n - scores.shape[1]
    if short <= 0:
        return scores[:, :n].astype(np.float32, copy=False), numbers[:, :n]
    return (
        np.pad(scores, ((0, 0), (0, short)), constant_values=-np.inf).astype(np.float32, copy=False),
        np.pad(numbers, ((0, 0), (0, short)), constant_values=-1),
    )


def exact(vectors: Floats, queries: Floats, n: int, rows: Rows, numbers: Rows) -> tuple[Floats, Rows]:
    """The best `min(n, len(rows))` of local `rows` for each query: scores and item numbers."""
    n = min(n, len(rows))
    if n and len(queries) >= MANY_QUERIES:
        return _by_matrix(vectors, queries, n, rows, numbers)
    scores, found = np.empty((len(queries), n), np.float32), np.empty((len(queries), n), np.int64)
    for at in range(len(queries)):
        scores[at], found[at] = best(products(vectors, queries[at : at + 1], rows)[0], numbers[rows], n)
    return scores, found


def _by_matrix(vectors: Floats, queries: Floats, n: int, rows: Rows, numbers: Rows) -> tuple[Floats, Rows]:
    """The candidates of a matrix product, scored again; a query with more equal scores than candidates is scanned by itself."""
    taken = vectors if len(rows) == len(vectors) else vectors[rows]
    rough, places = faiss.knn(queries, taken, min(n + SPARE, len(rows)), metric=faiss.METRIC_INNER_PRODUCT)
    candidates = rows[places]
    scores, found = ordered(products(vectors, queries, candidates), numbers[candidates])
    scores, found = scores[:, :n].copy(), found[:, :n].copy()
    if rough.shape[1] < len(rows):
        for at in np.flatnonzero(rough[:, -1] > rough[:, n - 1] - ROUNDING):
            scores[at], found[at] = best(products(vectors, queries[at : at + 1], rows)[0], numbers[rows], n)
    return scores, found
