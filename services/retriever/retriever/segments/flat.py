"""Exact inner-product search over an append-only array. Knows nothing of items, only of rows.

It is an array of our own because an index must not be changed while it is searched, whereas rows beyond the length a reader knows of can be
written at any time.
"""

import faiss
import numpy as np

from retriever.items import Floats, Rows
from retriever.segments.scan import exact, padded


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

    def best(self, queries: Floats, n: int, rows: Rows, numbers: Rows) -> tuple[Floats, Rows]:
        """The nearest `n` of `rows` (ascending, below `len(numbers)`) for each query: scores and item numbers `numbers[row]`.

        Both `(q, n)`, best first, equal scores by the smaller number, filled up with -inf and -1.
        """
        queries = np.ascontiguousarray(queries, np.float32)
        return padded(*exact(self._buffer[: len(numbers)], queries, n, rows, numbers), n)

    @property
    def vectors(self) -> Floats:
        """The whole array; rows beyond what the caller knows of mean nothing."""
        return self._buffer
