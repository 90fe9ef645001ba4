"""The kinds of index that a vector space can have: how each is built, stored and searched. Knows nothing of files or filters."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import faiss

from retriever.items import Floats
from retriever.segments.clusters import Clusters

LINKS = 16
BREADTH = 60
"""Candidates that the graph's construction looks at."""


class Vectors:
    """An array `(n, dim)` that a flat FAISS index owns, to be filled before anything is built over it."""

    def __init__(self, rows: int, dimension: int) -> None:
        self.flat = faiss.IndexFlat(dimension, faiss.METRIC_INNER_PRODUCT)
        self.flat.codes.resize(4 * rows * dimension)
        self.flat.ntotal = rows
        self.array: Floats = faiss.rev_swig_ptr(self.flat.get_xb(), rows * dimension).reshape(rows, dimension)


@dataclass(frozen=True)
class Kind:
    """`build(vectors, clusters)` gives the index that is stored beside the vectors.

    `on_vectors`: the index reads the stored vectors themselves, so that its scores are exact. `effort(rows, n)` is what the index needs
    for recall@n of .98: candidates of a graph, lists of an inverted file.
    """

    build: Callable[[Vectors, Clusters], Any]
    parameters: Callable[[int, Any], Any]
    effort: Callable[[int, int], int]
    on_vectors: bool
    refine: int = 1


def _graph(vectors: Vectors, clusters: Clusters) -> Any:
    """The storage is emptied in name only: adding its own array copies every byte onto itself, and only the graph is new memory."""
    dimension = vectors.array.shape[1]
    index = faiss.IndexHNSWFlat(dimension, LINKS, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = BREADTH
    index.storage.thisown = True  # type: ignore[attr-defined]  # so that Python frees the empty one
    index.storage, index.own_fields = vectors.flat, False
    vectors.flat.ntotal = 0
    index.add(vectors.array)
    return index


def _graph_parameters(effort: int, selector: Any) -> Any:
    # a selector without efSearch would silently set efSearch to 16
    return faiss.SearchParametersHNSW(sel=selector, efSearch=effort)  # type: ignore[attr-defined]  # SWIG makes it at import


def _graph_effort(rows: int, n: int) -> int:
    return max(2 * n, round(16 * math.log2(max(rows, 2)) - 160), 48)


KINDS: Mapping[str, Kind] = {
    "hnsw": Kind(_graph, _graph_parameters, _graph_effort, on_vectors=True),
}
