"""Bulk import over HTTP: items a second, what memory does meanwhile, and how long until all is one graph.

Knows nothing of searches. The bodies are rendered beforehand; one connection sends one after the other.
"""

import json
import shutil
import threading
import time
from typing import Any

import numpy as np
from tests.bench.retriever_dataset import DIMENSION, Dataset
from tests.bench.retriever_load import Load
from tests.bench.retriever_server import PORTION, Server, ServerRefused, bodies

SAMPLED_EVERY_S = 1.0


class Memory:
    """Samples the resident memory of a server in a thread; a context manager."""

    def __init__(self, server: Server) -> None:
        self.samples: list[dict[str, float]] = []
        self._server, self._over = server, threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        start = time.perf_counter()
        while not self._over.wait(SAMPLED_EVERY_S):
            self.samples.append({"s": round(time.perf_counter() - start, 1), **self._server.memory()})

    def __enter__(self) -> "Memory":
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._over.set()
        self._thread.join()


def measure(data: Dataset) -> dict[str, Any]:
    """Fills a server from nothing. `pace`: items a second of each body, in the order sent.

    The first one filled is merged, and kept for the other measures; what the merge took is told again after later ones, which are removed.
    """
    kept, told = data.state / f"server-{data.rows}", data.state / f"results-{data.rows}" / "import.json"
    before = json.loads(told.read_text()) if told.exists() and (kept / "whole").exists() else None
    folder = kept if before is None else data.state / f"server-{data.rows}-again"
    shutil.rmtree(folder, ignore_errors=True)
    paths = bodies(data)
    with Server(folder, build_threads=2) as server, Load(server.port, 1) as load:
        empty = server.memory()
        pace: list[float] = []
        with Memory(server) as memory:
            for path in paths:
                body, began = path.read_bytes(), time.perf_counter()
                if (outcome := load.closed([body])).answers[0].status != 200:
                    raise ServerRefused(outcome.refused()[0])
                pace.append(min(PORTION, data.rows) / (time.perf_counter() - began))
            imported = sum(min(PORTION, data.rows) / items_per_s for items_per_s in pace)  # without the reading of the files
            while_importing = len(memory.samples)
            merged = before["merge_s"] if before else server.merge()
            server.settle()
        after = server.memory()
    if before:
        shutil.rmtree(folder)
    else:
        (folder / "whole").touch()
    vectors = 4 * DIMENSION * data.rows
    importing = memory.samples[:while_importing] or [{"s": 0.0, **after}]
    peaks = {name: max(sample[name] for sample in importing) for name in ("anonymous", "children_anonymous")}
    first, last = (float(np.mean(part)) for part in (pace[: max(1, len(pace) // 5)], pace[-max(1, len(pace) // 5) :]))
    return {
        "rows": data.rows,
        "items_per_s": data.rows / imported,
        "pace_first_fifth": first,
        "pace_last_fifth": last,
        "import_s": imported,
        "merge_s": merged,
        "empty": empty,
        "after": after,
        "peak_service": peaks["anonymous"],
        "peak_builder": peaks["children_anonymous"],
        "grown_of_vectors": (peaks["anonymous"] - empty["anonymous"]) / vectors,
        "peak_merging": before["peak_merging"]
        if before
        else max(sample["anonymous"] + sample["children_anonymous"] for sample in memory.samples or importing),
        "samples": memory.samples[:: max(1, len(memory.samples) // 60)],
    }
