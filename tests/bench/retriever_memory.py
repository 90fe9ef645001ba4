"""Memory and start-up of a filled server, and what each kind of index takes, finds and how fast. Knows nothing of how they are built."""

import os
import time
from pathlib import Path
from typing import Any

from tests.bench.retriever_dataset import DIMENSION, Dataset
from tests.bench.retriever_load import Load
from tests.bench.retriever_search import Asked
from tests.bench.retriever_server import FINGERPRINT, Server, ServerRefused, bodies, filled
from tests.bench.retriever_timing import median

KINDS = {"hnsw": 4 * DIMENSION, "hnsw-sq8": DIMENSION, "ivf-sq8": DIMENSION, "ivf-pq": DIMENSION // 4}
"""Bytes of a vector at the precision that the index holds."""
STARTS = 3


def evicted(folder: Path) -> None:
    """Asks the system to forget its cached pages of the files below `folder`, as after a restart of the machine."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def warmed(server: Server, data: Dataset, **more: Any) -> None:
    """Asks every query, and then for the neighbours of vectors from everywhere, so that all pages of the index have been touched."""
    step = max(1, data.rows // 20_000)
    server.ask(data.queries, 64, 2, **more)
    server.ask(data.vectors[::step], 64, 2, **more)


def measure(data: Dataset) -> dict[str, Any]:
    """The graph over all items: resident memory after a restart and many searches, and seconds until ready, warm and cold."""
    folder = data.state / f"server-{data.rows}"
    with filled(data):
        pass
    warm = []
    for _ in range(STARTS):
        with Server(folder) as server:
            warm.append(server.ready_s)
    evicted(folder)
    with Server(folder) as server:
        cold, started = server.ready_s, server.memory()
        warmed(server, data)
        time.sleep(1)
        resident = server.memory()
    vectors = 4 * DIMENSION * data.rows
    ratio = (resident["service"] + resident["children"]) / vectors
    return {
        "rows": data.rows,
        "ready_warm_s": median(warm),
        "ready_cold_s": cold,
        "at_start": started,
        "resident": resident,
        "vectors": vectors,
        "ratio": ratio,
    }


def fill(server: Server, data: Dataset, kind: str) -> None:
    """Imports the items into a space of the named kind."""
    space = {"name": "measured", "fingerprint": FINGERPRINT, "dimension": DIMENSION, "kind": kind}
    server.call("POST", "/v1/spaces", space)
    server.call("PUT", "/v1/roles/content", {"space": "measured"})
    with Load(server.port, 1) as load:
        for path in bodies(data):
            if (outcome := load.closed([path.read_bytes()])).answers[0].status != 200:
                raise ServerRefused(outcome.refused()[0])


def kinds(data: Dataset) -> dict[str, Any]:
    """The same for each kind of index, with its recall and speed by the default effort and by the one that the goal needs."""
    table = {}
    for kind, width in KINDS.items():
        folder = data.state / f"server-{data.rows}-{kind}"
        with Server(folder) as server:
            empty = server.memory()["service"]
            if not (folder / "whole").exists():
                fill(server, data, kind)
            built_s = server.merge()
            server.settle()
            (folder / "whole").touch()
        with Server(folder, search_threads=1) as server:
            warmed(server, data)
            resident, asked = server.memory(), Asked(server, data)
            lists = kind.startswith("ivf")
            effort = asked.effort(low=2 if lists else 12, high=1_000, step=1 if lists else 4)
            table[kind] = {
                "built_as": server.space()["kind"],
                "build_s": built_s,
                "resident": resident["service"] + resident["children"],
                "anonymous": resident["anonymous"] + resident["children_anonymous"],
                "empty": empty,
                "vectors_at_precision": width * data.rows,
                "default_recall": asked.recall(None),
                "default_per_s": median([asked.per_second(None, "single", 2) for _ in range(3)]),
                "effort": effort,
                "recall": asked.recall(effort),
                "per_s": median([asked.per_second(effort, "single", 2) for _ in range(3)]),
            }
    return {"rows": data.rows, "kinds": table}
