"""Groups of vectors that point alike, in whose order the rows of a sealed segment lie. Knows nothing of graphs or filters."""

from dataclasses import dataclass
from typing import Self

import faiss
import numpy as np

from retriever.items import Floats, Rows

LEAST_ROWS = 16_384
"""Smaller segments are one cluster."""
ROWS_EACH = 1_000
"""Mean rows of a cluster."""
SAMPLE_EACH = 48
"""Vectors per cluster that the centroids are learned from."""
ROUNDS = 8
BLOCK = 16_384
"""Vectors assigned at once."""


@dataclass(frozen=True)
class Clusters:
    """`centroids` `(c, dim)` of unit length; the rows of cluster i are `starts[i]` .. `starts[i + 1] - 1`, `starts` `(c + 1,)`."""

    centroids: Floats
    starts: Rows

    def __len__(self) -> int:
        return len(self.centroids)

    def likeness(self, queries: Floats) -> Floats:
        """Inner products of `queries` `(q, dim)` with the centroids `(q, c)`."""
        return queries @ self.centroids.T

    @classmethod
    def single(cls, vectors: Floats) -> Self:
        """All in one."""
        mean = vectors.mean(axis=0, dtype=np.float64, keepdims=True)
        length = float(np.linalg.norm(mean))
        return cls((mean / length if length else mean).astype(np.float32), np.array([0, len(vectors)]))


def learn(vectors: Floats, seed: int = 0) -> Floats:
    """Centroids `(c, dim)` of unit length, by spherical k-means (Dhillon and Modha 2001) over a sample of `vectors`."""
    count = len(vectors) // ROWS_EACH
    rng = np.random.default_rng(seed)
    sample = np.sort(rng.choice(len(vectors), min(len(vectors), count * SAMPLE_EACH), replace=False))
    kmeans = faiss.Kmeans(vectors.shape[1], count, niter=ROUNDS, seed=seed, spherical=True, min_points_per_centroid=1)
    kmeans.train(np.ascontiguousarray(vectors[sample]))
    return np.asarray(kmeans.centroids, np.float32)


def assign(vectors: Floats, centroids: Floats) -> Rows:
    """The cluster of each vector `(n,)`: the centroid with the largest inner product."""
    clusters = np.empty(len(vectors), np.int64)
    for start in range(0, len(vectors), BLOCK):
        block = vectors[start : start + BLOCK]
        clusters[start : start + BLOCK] = faiss.knn(block, centroids, 1, metric=faiss.METRIC_INNER_PRODUCT)[1][:, 0]
    return clusters


def reorder(vectors: Floats, order: Rows) -> None:
    """In place: row i becomes what row `order[i]` was. Follows the permutation's cycles, so that no second array is needed."""
    source = order.tolist()
    for first in range(len(source)):
        if source[first] < 0:
            continue
        held, at = vectors[first].copy(), first
        while (following := source[at]) != first:
            vectors[at] = vectors[following]
            source[at] = -1
            at = following
        vectors[at] = held
        source[at] = -1


def sort(vectors: Floats) -> tuple[Clusters, Rows]:
    """Brings `vectors` into the order of their clusters, in place, otherwise keeping their order. Returns the order taken too."""
    if len(vectors) < LEAST_ROWS:
        return Clusters.single(vectors), np.arange(len(vectors))
    centroids = learn(vectors)
    clusters = assign(vectors, centroids)
    order = np.argsort(clusters, kind="stable")
    reorder(vectors, order)
    starts = np.concatenate([[0], np.cumsum(np.bincount(clusters, minlength=len(centroids)))])
    return Clusters(centroids, starts), order
