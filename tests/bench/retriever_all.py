"""Measures the retriever against its goals, part by part, and writes docs/performance.md. Knows the order of the parts, not what they do.

`--quick` takes 20,000 items and a few minutes, and writes its page into the state folder. `--only import,search` runs those parts on what
earlier runs left there; the page then tells the latest figures of each part.
"""

import argparse
import datetime
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
from tests.bench import (
    retriever_dataset,
    retriever_filters,
    retriever_import,
    retriever_memory,
    retriever_overload,
    retriever_peers,
    retriever_report,
    retriever_search,
    retriever_writes,
)
from tests.bench.retriever_dataset import Dataset

FULL, QUICK = 1_000_000, 20_000
SIZES = (10_000, 30_000, 100_000, 300_000, 1_000_000)
QUICK_SIZES = (2_500, 5_000, 10_000, 20_000)
KINDS_AT = 1_000_000
PAGE = Path("docs/performance.md")


def parts(data: Dataset, quick: bool, peers: list[str], load_limit_s: float) -> dict[str, Callable[[], dict[str, Any]]]:
    """In the order they run: the first fills the server that the others ask."""
    sizes = [*(size for size in (QUICK_SIZES if quick else SIZES) if size < data.rows), data.rows]
    kinds_at = Dataset(data.state, min(KINDS_AT, data.rows))
    return {
        "dataset": lambda: retriever_dataset.describe(data),
        "import": lambda: retriever_import.measure(data),
        "search": lambda: retriever_search.measure(data),
        "filters": lambda: retriever_filters.measure(data),
        "memory": lambda: retriever_memory.measure(data),
        "overload": lambda: retriever_overload.measure(data),
        "writes": lambda: retriever_writes.measure(data, 8 if quick else 30, 1 if quick else 3),
        "growth": lambda: retriever_search.growth(data, sizes),
        "kinds": lambda: retriever_memory.kinds(kinds_at),
        "peers": lambda: retriever_peers.measure(data, peers, sizes, load_limit_s),
    }


def run(name: str, work: Callable[[], dict[str, Any]], folder: Path) -> None:
    """Measures one part and keeps what it found."""
    print(f"{datetime.datetime.now():%H:%M:%S} {name} ...", flush=True)
    started = time.perf_counter()
    result = work()
    path = folder / f"{name}.json"
    path.write_text(json.dumps(result, indent=1))
    print(f"  {time.perf_counter() - started:.0f} s, {path}", flush=True)


def kept(folder: Path) -> dict[str, Any]:
    """The latest result of each part."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


def show(results: dict[str, Any]) -> None:
    for name, goal, text, good in retriever_report.goals(results):
        print(f"  {name:<66} {goal:<9} {text}  {retriever_report.verdict(good).strip('*').upper()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", type=Path, default=Path(".warmstart-bench"), help="for vectors, servers and peers; 40 GB for a full run")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK:,} items")
    parser.add_argument("--rows", type=int, default=0, help=f"items; {FULL:,} by default")
    parser.add_argument("--only", default="", help="parts to run, with commas; all by default")
    parser.add_argument("--skip", default="", help="parts not to run, with commas")
    parser.add_argument("--peers", default=",".join(retriever_peers.PACKAGES), help="other stores to measure, with commas")
    parser.add_argument("--load-limit", type=float, default=600, help="seconds that another store may take to load; what is loaded is kept")
    parser.add_argument("--page", type=Path, help=f"where to write the figures; {PAGE} after a full run")
    chosen = parser.parse_args()
    faiss.omp_set_num_threads(2)
    rows = chosen.rows or (QUICK if chosen.quick else FULL)
    state: Path = chosen.state.resolve()
    folder = state / f"results-{rows}"
    folder.mkdir(parents=True, exist_ok=True)
    data = retriever_dataset.prepare(state, rows)
    every = parts(data, chosen.quick, [name for name in chosen.peers.split(",") if name], chosen.load_limit)
    wanted = [name for name in chosen.only.split(",") if name] or list(every)
    if unknown := set(wanted) - set(every):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(every)}")
    for name in wanted:
        if name not in chosen.skip.split(","):
            run(name, every[name], folder)
    results = kept(folder)
    command = "make bench" if rows == FULL else f"python -m tests.bench.retriever_all --rows {rows}"
    page = chosen.page or (PAGE if rows == FULL else folder / "performance.md")
    page.write_text(retriever_report.page(results, command, datetime.date.today().isoformat()))
    print(f"{rows:,} items, {retriever_report.machine()}:")
    show(results)
    print(f"written: {page}")


if __name__ == "__main__":
    main()
