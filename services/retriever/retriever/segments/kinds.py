"""The kinds of index that a vector space can have, and how hard each must try. Knows nothing of files or filters."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np

from retriever.items import Floats, Rows
from retriever.segments.clusters import Clusters

LINKS = 24
BREADTH = 128
"""Candidates that a graph's construction looks at."""
EFFORT = 128
"""Candidates that a search of the graph keeps: .98 of the ten nearest and some to spare, at 20,000 rows as at a million."""
TRAINED_ON = 16_384
"""Vectors that the ranges or code books of quantised kinds are learned from."""
LEAST_TRAINED = 640
"""Fewer are repeated, for a code book of 16 entries wants 39 vectors each."""
LISTS = 64
"""Clusters whose codes a query for ten is compared with: .98 and some to spare, at 65,000 rows as at a million."""
CODE_BOOK_ROUNDS = 8
"""Of learning the code books of products: three times as many cost half a second more and find no more."""
BLOCK = 16_384


class Vectors:
    """An array `(n, dim)` that a flat FAISS index owns, to be filled before anything is built over it."""

    def __init__(self, rows: int, dimension: int) -> None:
        self.flat = faiss.IndexFlat(dimension, faiss.METRIC_INNER_PRODUCT)
        self.flat.codes.resize(4 * rows * dimension)
        self.flat.ntotal = rows
        self.array: Floats = faiss.rev_swig_ptr(self.flat.get_xb(), rows * dimension).reshape(rows, dimension)


@dataclass(frozen=True)
class Kind:
    """`build(vectors, clusters, numbers)` gives the index that lies beside the vectors, `parameters(effort, selector)` those of one search.

    `effort(rows, n)` is what recall@n of .98 needs: candidates of a graph, lists of an inverted file (`lists`). `refine`: for each result
    so many, and `spare` more, are fetched by their codes and scored again by their vectors; 0 for an index that reads the stored vectors
    themselves.
    """

    build: Callable[[Vectors, Clusters, Rows], Any]
    parameters: Callable[[int, Any], Any]
    effort: Callable[[int, int], int]
    lists: bool
    refine: int
    spare: int = 0

    def fetched(self, n: int) -> int:
        """Of how many candidates the best `n` are taken."""
        return max(1, self.refine) * n + self.spare

    @property
    def flags(self) -> int:
        """How FAISS writes and reads the index."""
        return 0 if self.refine else int(faiss.IO_FLAG_SKIP_STORAGE)


def _graph(vectors: Vectors, clusters: Clusters, numbers: Rows) -> Any:
    """The storage is emptied in name only: adding its own array copies every byte onto itself, and only the graph is new memory."""
    index = faiss.IndexHNSWFlat(vectors.array.shape[1], LINKS, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = BREADTH
    index.storage.thisown = True  # type: ignore[attr-defined]  # so that Python frees the empty one
    index.storage, index.own_fields = vectors.flat, False
    vectors.flat.ntotal = 0
    index.add(vectors.array)
    return index


def _graph_of_bytes(vectors: Vectors, clusters: Clusters, numbers: Rows) -> Any:
    dimension, eight_bits = vectors.array.shape[1], faiss.ScalarQuantizer.QT_8bit
    index = faiss.IndexHNSWSQ(dimension, eight_bits, LINKS, faiss.METRIC_INNER_PRODUCT)  # type: ignore[arg-type]  # the stub is wrong
    index.hnsw.efConstruction = BREADTH
    index.train(_sample(vectors.array))
    index.add(vectors.array)
    return index


def _lists_of_bytes(vectors: Vectors, clusters: Clusters, numbers: Rows) -> Any:
    quantiser, dimension, metric = _quantiser(clusters), vectors.array.shape[1], faiss.METRIC_INNER_PRODUCT
    index = faiss.IndexIVFScalarQuantizer(quantiser, dimension, len(clusters), faiss.ScalarQuantizer.QT_8bit, metric)
    return _filled(index, vectors, numbers)


def _lists_of_products(vectors: Vectors, clusters: Clusters, numbers: Rows) -> Any:
    """One bit for each dimension, or more of few dimensions, in the lists of the clusters.

    Product quantisation (Jegou, Douze and Schmid 2011) to four bits, compared a block of rows at a time (Andre, Kermarrec and Le Scouarnec
    2015). The codes are of whole vectors: of what is left beside a centroid they would be finer, but every list would need its own tables.
    """
    quantiser, dimension = _quantiser(clusters), vectors.array.shape[1]
    finest = 4 if dimension >= 256 else 2 if dimension >= 128 else 1
    each = next(each for each in (finest, 2, 1) if dimension % each == 0)
    index = faiss.IndexIVFPQFastScan(quantiser, dimension, len(clusters), dimension // each, 4, faiss.METRIC_INNER_PRODUCT)
    index.by_residual, index.pq.cp.niter = False, CODE_BOOK_ROUNDS
    return _filled(index, vectors, numbers)


def _quantiser(clusters: Clusters) -> Any:
    quantiser = faiss.IndexFlat(clusters.centroids.shape[1], faiss.METRIC_INNER_PRODUCT)
    quantiser.add(clusters.centroids)
    quantiser.thisown = False  # type: ignore[attr-defined]  # the inverted file frees it
    return quantiser


def _filled(index: Any, vectors: Vectors, numbers: Rows) -> Any:
    """The ids in the lists are item numbers, so that a filter over these needs no translation."""
    index.own_fields = True
    index.train(_sample(vectors.array))
    for start in range(0, len(vectors.array), BLOCK):
        index.add_with_ids(vectors.array[start : start + BLOCK], numbers[start : start + BLOCK])
    return index


def _sample(vectors: Floats) -> Floats:
    if len(vectors) < LEAST_TRAINED:
        return np.resize(vectors, (LEAST_TRAINED, vectors.shape[1]))
    chosen = np.random.default_rng(0).choice(len(vectors), min(TRAINED_ON, len(vectors)), replace=False)
    taken: Floats = vectors[np.sort(chosen)]
    return taken


def _graph_parameters(effort: int, selector: Any) -> Any:
    # a selector without efSearch would silently set efSearch to 16
    return faiss.SearchParametersHNSW(sel=selector, efSearch=effort)  # type: ignore[attr-defined]  # SWIG makes it at import


def _lists_parameters(effort: int, selector: Any) -> Any:
    return faiss.SearchParametersIVF(sel=selector, nprobe=effort)  # type: ignore[call-arg]  # SWIG makes it at import


def _graph_effort(rows: int, n: int) -> int:
    return max(2 * n, EFFORT)


def _lists_effort(rows: int, n: int) -> int:
    return max(8, round(4 * math.log2(max(rows, 2)) - 32))


def _products_effort(rows: int, n: int) -> int:
    return round(LISTS * math.sqrt(max(1.0, n / 10)))


KINDS: Mapping[str, Kind] = {
    "hnsw": Kind(_graph, _graph_parameters, _graph_effort, lists=False, refine=0),
    "hnsw-sq8": Kind(_graph_of_bytes, _graph_parameters, _graph_effort, lists=False, refine=2),
    "ivf-sq8": Kind(_lists_of_bytes, _lists_parameters, _lists_effort, lists=True, refine=2),
    "ivf-pq": Kind(_lists_of_products, _lists_parameters, _products_effort, lists=True, refine=20, spare=100),
}
SKETCH = KINDS["ivf-pq"]
"""What a filtered scan reads of a graph's rows, and all that a small segment has."""


def small_kind(kind: str) -> str:
    """Of the segments of a space of `kind` that are too small for a graph."""
    return kind if KINDS[kind].lists else "ivf-pq"
