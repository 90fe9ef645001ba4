"""Exact scores of chosen rows, and the best of them. Knows nothing of filters or of how rows were chosen."""

import faiss
import numpy as np

from retriever.items import Floats, Rows
from retriever.segments.clusters import Clusters

MANY_QUERIES = 20
"""From here on copying the rows together and one matrix product beat scoring row by row."""
LEAST_SCORED = 2_000
"""A probed scan scores at least this many allowed rows."""
TIES = 8
"""More candidates than asked for, so that equal scores at the end are cut by number."""


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
    pairs = [best(products(vectors, query[None], rows)[0], numbers[rows], n) for query in queries]
    return np.array([scores for scores, _ in pairs]).reshape(-1, n), np.array([found for _, found in pairs], np.int64).reshape(-1, n)


def _by_matrix(vectors: Floats, queries: Floats, n: int, rows: Rows, numbers: Rows) -> tuple[Floats, Rows]:
    """A matrix product rounds by where a row lies, so the candidates it gives are scored again."""
    every = len(rows) == len(vectors)
    taken = vectors if every else vectors[rows]
    _, places = faiss.knn(queries, taken, min(n + TIES, len(rows)), metric=faiss.METRIC_INNER_PRODUCT)
    candidates = rows[places]
    scores = products(vectors, queries, candidates)
    pairs = [best(scores[at], numbers[candidates[at]], n) for at in range(len(queries))]
    return np.array([scores for scores, _ in pairs]), np.array([found for _, found in pairs])


def probed(vectors: Floats, queries: Floats, n: int, rows: Rows, numbers: Rows, clusters: Clusters, share: float) -> tuple[Floats, Rows]:
    """Like `exact`, but each query scores only the rows of the clusters nearest to it, at least `share` of `rows`."""
    wanted = max(LEAST_SCORED, round(share * len(rows)))
    if wanted >= len(rows):
        return exact(vectors, queries, n, rows, numbers)
    bounds = np.searchsorted(rows, clusters.starts)
    sizes = np.diff(bounds)
    n = min(n, len(rows))
    scores, found = np.empty((len(queries), n), np.float32), np.empty((len(queries), n), np.int64)
    for at, similarity in enumerate(queries @ clusters.centroids.T):
        order = np.argsort(-similarity)
        last = int(np.searchsorted(np.cumsum(sizes[order]), wanted)) + 1
        chosen = np.concatenate([rows[bounds[cluster] : bounds[cluster + 1]] for cluster in np.sort(order[:last])])
        scores[at], found[at] = best(products(vectors, queries[at : at + 1], chosen)[0], numbers[chosen], n)
    return scores, found
