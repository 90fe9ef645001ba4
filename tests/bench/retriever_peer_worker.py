"""Loads the benchmark's vectors into another vector store and measures it; runs in that store's own environment, which has numpy besides.

Knows nothing of the retriever, nor how a store is asked. `python -m tests.bench.retriever_peer_worker NAME STATE ROWS FOLDER --load` loads
into the folder, unless just that is loaded already; without `--load` it measures what lies there. Either prints one line of JSON.
"""

import argparse
import json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tests.bench.retriever_peer_stores import PEERS, Floats, Peer, Rows
from tests.bench.retriever_timing import BATCH, ROUNDS, median, queries_per_second, raised, smallest

DEV = 500
ROUND_S = 20.0
"""A round asks fewer queries where all of them would take longer."""
LOADED = "loaded.json"
"""Written last into a folder that is loaded: rows, setting, version, and the seconds that it took beside whatever else ran."""


def loaded(name: str, folder: Path, rows: int) -> dict[str, Any] | None:
    """What `load` wrote into the folder when it was done with as many rows, at the setting of today; otherwise None."""
    marker = folder / LOADED
    facts: dict[str, Any] = json.loads(marker.read_text()) if marker.exists() else {}
    return facts if (facts.get("rows"), facts.get("setting")) == (rows, PEERS[name].setting) else None


def load(name: str, folder: Path, vectors: Floats) -> dict[str, Any]:
    """Loads unless just these rows lie there with this setting; what else lies in the folder is deleted first."""
    if before := loaded(name, folder, len(vectors)):
        return before
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    started = time.perf_counter()
    peer = PEERS[name](folder)
    peer.load(vectors)
    facts = {"rows": len(vectors), "setting": peer.setting, "version": peer.version()}
    peer.close()
    facts["load_s"] = round(time.perf_counter() - started, 1)
    aside = folder / f"{LOADED}.part"
    aside.write_text(json.dumps(facts))
    aside.rename(folder / LOADED)
    return facts


def recall(found: Rows, truth: Rows) -> float:
    return sum(len(set(a) & set(b)) for a, b in zip(found.tolist(), truth.tolist(), strict=True)) / truth.size


def speed(search: Callable[[Floats], Rows], queries: Floats, size: int) -> dict[str, float]:
    """Queries a second, `size` in a call, from one client thread and from two."""
    started = time.perf_counter()
    search(queries[:size])
    calls = int(ROUND_S / (time.perf_counter() - started))
    asked = queries[: max(2, calls) * size]
    rounds = {threads: [queries_per_second(search, asked, size, threads) for _ in range(ROUNDS)] for threads in (1, 2)}
    return {f"_{threads}": median(one) for threads, one in rounds.items()}


def measure(peer: Peer, queries: Floats, truth: Rows) -> dict[str, Any]:
    """The least effort for the recall on the dev queries and on those reported, and the queries per second with it."""

    def reached(effort: int, asked: slice) -> float:
        peer.prepare(effort)
        parts = [peer.search(queries[asked][at : at + BATCH], effort) for at in range(0, len(queries[asked]), BATCH)]
        return recall(np.concatenate(parts), truth[asked])

    dev, reported = slice(0, DEV), slice(DEV, 2 * DEV)
    effort = smallest(lambda effort: reached(effort, dev), low=peer.efforts[0], high=peer.efforts[1])
    effort = raised(effort, lambda effort: reached(effort, reported), high=peer.efforts[1])
    result: dict[str, Any] = {"effort": effort, "recall": reached(effort, reported)}
    for name, size in (("single", 1), ("batched", BATCH)):
        found = speed(lambda part: peer.search(part, effort), queries[reported], size)
        result |= {name + threads: value for threads, value in found.items()}
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=sorted(PEERS))
    parser.add_argument("state", type=Path)
    parser.add_argument("rows", type=int)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--load", action="store_true")
    chosen = parser.parse_args()
    if chosen.load:
        largest = max(chosen.state.glob("vectors-*.npy"), key=lambda path: int(path.stem.removeprefix("vectors-")))
        result = load(chosen.name, chosen.folder, np.load(largest, mmap_mode="r")[: chosen.rows])
    elif (before := loaded(chosen.name, chosen.folder, chosen.rows)) is None:
        parser.error(f"{chosen.folder} is not loaded with {chosen.rows} rows at the setting of today; run it with --load first")
    else:
        queries, truth = np.load(chosen.state / "queries.npy"), np.load(chosen.state / f"truth-{chosen.rows}.npy")
        peer = PEERS[chosen.name](chosen.folder)
        peer.open()
        result = before | measure(peer, queries, truth)
        peer.close()
    print(json.dumps(result), file=sys.__stdout__)


if __name__ == "__main__":
    main()
