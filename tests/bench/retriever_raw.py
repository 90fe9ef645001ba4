"""FAISS's own HNSW in this process, over the benchmark's vectors. Knows nothing of the retriever but how its graphs are built."""

import time
from functools import partial
from typing import Any

import faiss
import numpy as np
from tests.bench.retriever_dataset import DIMENSION, Dataset, Floats, K, Rows, recall
from tests.bench.retriever_timing import BATCH, queries_per_second, raised, smallest

from retriever.segments.kinds import BREADTH, LINKS


class Raw:
    """`IndexHNSWFlat` with as many links, and built as broadly, as the retriever's; rows in the order that they come in."""

    def __init__(self, data: Dataset) -> None:
        self._data, self.build_s = data, 0.0
        path = data.state / f"raw-{data.rows}-{LINKS}-{BREADTH}.faiss"
        if path.exists():
            self.index: Any = faiss.read_index(str(path))
            return
        self.index = faiss.IndexHNSWFlat(DIMENSION, LINKS, faiss.METRIC_INNER_PRODUCT)
        self.index.hnsw.efConstruction = BREADTH
        started = time.perf_counter()
        self.index.add(np.ascontiguousarray(data.vectors))
        self.build_s = time.perf_counter() - started
        faiss.write_index(self.index, str(path))

    def search(self, queries: Floats, effort: int) -> Rows:
        """Rows of the nearest ten, on one thread: the calling one."""
        faiss.omp_set_num_threads(1)
        parameters = faiss.SearchParametersHNSW(efSearch=effort)  # type: ignore[attr-defined]  # SWIG makes it at import
        found: Rows = self.index.search(queries, K, params=parameters)[1]
        return found

    def effort(self) -> int:
        """The least that reaches the goal on the dev queries, raised when it misses it on the reported ones."""
        data = self._data
        effort = smallest(lambda effort: recall(self.search(data.dev, effort), data.truth[: len(data.dev)]))
        return raised(effort, self.recall)

    def recall(self, effort: int) -> float:
        data = self._data
        return recall(self.search(data.reported, effort), data.truth[len(data.dev) :])

    def speed(self, effort: int, threads: int) -> dict[str, float]:
        """Queries per second, one a call and BATCH a call."""
        search = partial(self.search, effort=effort)
        shapes = {"single": 1, "batched": BATCH}
        return {name: queries_per_second(search, self._data.reported, size, threads) for name, size in shapes.items()}
