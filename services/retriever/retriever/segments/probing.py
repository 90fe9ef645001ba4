"""Asks an inverted file for the lists that promise most under a filter. Knows only how many rows it leaves where."""

from typing import Any

import faiss
import numpy as np

from retriever.items import Doubles, Floats, Rows
from retriever.segments.clusters import Clusters

CROWD = 0.045
"""What a cluster gains with the number of its allowed rows: of more, the nearest one lies farther from the centroid, towards the query."""

LEAST_PROMISING = 0.25
"""Of the allowed rows, not looked at unless all clusters are asked for: where a filter follows the vectors, few clusters have them all."""

NEAR = 4
"""Clusters around a query that tell how many of the rows near it are allowed."""


def chosen(clusters: Clusters, likeness: Floats, counts: Rows, share: float) -> tuple[Rows, Floats]:
    """For each query the clusters to look into, best first and filled up with -1, and their likeness to it: `(q, lists)` both.

    As many as have that `share` of all rows together, or all but LEAST_PROMISING of the allowed ones, and none of those without an allowed
    row. `likeness` `(q, c)` is that of the centroids to the queries, `counts` `(c,)` are the allowed rows.
    The largest of m draws from a normal distribution lies about sqrt(2 ln m) deviations above its mean, here the centroid's likeness.
    """
    merit = np.where(counts > 0, likeness + CROWD * np.sqrt(2 * np.log(np.maximum(counts, 1))).astype(np.float32), -np.inf)
    order = np.argsort(-merit, axis=1)
    sizes, allowed = np.diff(clusters.starts)[order], counts[order]
    read, seen = np.cumsum(sizes, axis=1) - sizes, np.cumsum(allowed, axis=1) - allowed
    most = 1.0 if share == 1 else 1 - LEAST_PROMISING
    taken = (read < share * clusters.starts[-1]) & (seen < most * counts.sum()) & (allowed > 0)
    width = max(1, int(taken.sum(axis=1).max(initial=0)))
    lists = np.where(taken, order, -1)[:, :width]
    return np.ascontiguousarray(lists), np.ascontiguousarray(np.take_along_axis(likeness, order[:, :width], axis=1))


def near(clusters: Clusters, likeness: Floats, counts: Rows) -> Doubles:
    """The share of the rows in the clusters nearest to each query that `counts` `(c,)` tells `(q,)`; `likeness` `(q, c)`."""
    nearest = np.argpartition(-likeness, min(NEAR, len(clusters)) - 1, axis=1)[:, :NEAR]
    shares: Doubles = counts[nearest].sum(axis=1) / np.maximum(np.diff(clusters.starts)[nearest].sum(axis=1), 1)
    return shares


def probed(index: Any, queries: Floats, wanted: int, lists: Rows, likeness: Floats, parameters: Any) -> Rows:
    """The ids of the best `wanted` by their codes in `lists` `(q, l)` of an inverted file, best first, `(q, wanted)`, filled up with -1.

    `parameters` must have an nprobe of l.
    """
    scores, found = np.empty((len(queries), wanted), np.float32), np.empty((len(queries), wanted), np.int64)
    if len(queries):
        sent, at, similar, into, ids = (faiss.swig_ptr(array) for array in (queries, lists, likeness, scores, found))
        index.search_preassigned_c(len(queries), sent, wanted, at, similar, into, ids, False, parameters)  # Python's own takes no selector
    return found
