"""How the retriever's benchmark times and picks: percentiles, medians over rounds, the smallest effort that reaches a recall.

Knows nothing of what is timed. Needs numpy only, for the peers are measured in environments of their own.
"""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

GOAL = 0.98
MARGIN = 0.002
"""An effort picked on the dev queries at exactly the goal misses it on half of the others."""
BATCH = 64
ROUNDS = 3


def percentiles(values: Sequence[float] | NDArray[np.float64]) -> dict[str, float]:
    """p50 and p99 of `values`, rounded to three digits after the point; the unit stays."""
    p50, p99 = np.percentile(np.asarray(values, np.float64), [50, 99])
    return {"p50": round(float(p50), 3), "p99": round(float(p99), 3)}


def smallest(reached: Callable[[int], float], goal: float = GOAL + MARGIN, low: int = 12, high: int = 2_000, step: int = 4) -> int:
    """The least effort, a multiple of `step`, whose recall is `goal`; `high` when none is. Recall must rise with effort."""
    first, last = low // step, high // step
    while first < last:
        middle = int((first * last) ** 0.5) if first > 0 else last // 2
        if reached(middle * step) >= goal:
            last = middle
        else:
            first = middle + 1
    return first * step


def raised(effort: int, reached: Callable[[int], float], goal: float = GOAL, high: int = 2_000) -> int:
    """`effort`, a twentieth more at a time until the recall is `goal`; so that nobody is timed below it."""
    while reached(effort) < goal and effort < high:
        effort += max(4, effort // 20)
    return effort


def queries_per_second(search: Callable[[NDArray[np.float32]], Any], queries: NDArray[np.float32], batch: int, threads: int) -> float:
    """All `queries` once, `batch` in a call, shared out over Python threads that search side by side."""
    calls = [queries[at : at + batch] for at in range(0, len(queries), batch)]
    barrier = threading.Barrier(threads + 1)

    def work(mine: list[NDArray[np.float32]]) -> None:
        barrier.wait()
        for call in mine:
            search(call)

    team = [threading.Thread(target=work, args=(calls[at::threads],)) for at in range(threads)]
    for thread in team:
        thread.start()
    barrier.wait()
    started = time.perf_counter()
    for thread in team:
        thread.join()
    return len(queries) / (time.perf_counter() - started)


def median(values: Sequence[float]) -> float:
    return float(np.median(values))
