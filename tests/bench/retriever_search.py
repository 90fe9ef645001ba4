"""Searches over HTTP against FAISS in this process, over the same vectors at the same recall; and how both grow.

Knows nothing of filters and writes.
"""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from tests.bench.retriever_dataset import Dataset, recall
from tests.bench.retriever_load import Load, Outcome
from tests.bench.retriever_raw import Raw
from tests.bench.retriever_server import Server, filled, found, searches
from tests.bench.retriever_timing import BATCH, GOAL, ROUNDS, median, percentiles, raised, smallest

SECONDS = 3.0
CALLERS = 4
"""Connections for each thread that searches: what a retriever admits at once."""
SHAPES = {"single": 1, "batched": BATCH}


class Asked:
    """A server asked the queries of a dataset."""

    def __init__(self, server: Server, data: Dataset, **more: Any) -> None:
        self.server, self.data, self.more = server, data, more

    def recall(self, effort: int | None, dev: bool = False) -> float:
        data, count = self.data, len(self.data.dev)
        queries, truth = (data.dev, data.truth[:count]) if dev else (data.reported, data.truth[count:])
        return recall(self.server.ask(queries, BATCH, 2, **self._with(effort))[1], truth)

    def effort(self, low: int = 12, high: int = 2_000, step: int = 4) -> int:
        """The least that reaches the goal on the dev queries, raised when it misses it on the reported ones."""
        least = smallest(lambda effort: self.recall(effort, dev=True), low=low, high=high, step=step)
        return raised(least, self.recall, high=high)

    def load(self, effort: int | None, shape: str, connections: int, seconds: float = SECONDS) -> Outcome:
        """The reported queries again and again; closed loop. Raises ServerRefused when one is refused."""
        size = SHAPES[shape]
        requests = searches(self.data.reported[: len(self.data.reported) // size * size], size, **self._with(effort))
        with Load(self.server.port, connections, keep=False) as load:
            outcome = load.closed(requests, seconds=seconds)
        if outcome.refused():
            found(outcome, size, 1)
        return outcome

    def per_second(self, effort: int | None, shape: str, connections: int, seconds: float = SECONDS) -> float:
        return self.load(effort, shape, connections, seconds).per_second() * SHAPES[shape]

    def _with(self, effort: int | None) -> dict[str, Any]:
        return self.more if effort is None else {**self.more, "effort": effort}


def against_raw(data: Dataset, raw: Raw, raw_effort: int, threads: int) -> dict[str, Any]:
    """Queries a second of both in turns, with `threads` that search on either side."""
    with filled(data, search_threads=threads) as server:
        asked = Asked(server, data)
        effort = asked.effort()
        result: dict[str, Any] = {"effort": effort, "recall": asked.recall(effort), "raw_recall": raw.recall(raw_effort)}
        rounds: list[dict[str, float]] = []
        for _ in range(ROUNDS):
            cpu_s, speeds = time.process_time(), raw.speed(raw_effort, threads)
            rounds.append(figures := {f"raw_{shape}": speed for shape, speed in speeds.items()})
            figures["raw_cpu_ms"] = 1_000 * (time.process_time() - cpu_s) / (len(SHAPES) * len(data.reported))
            for shape in SHAPES:
                cpu_s, outcome = server.cpu_s(), asked.load(effort, shape, CALLERS * threads)
                figures[f"http_{shape}"] = outcome.per_second() * SHAPES[shape]
                figures[f"cpu_ms_{shape}"] = 1_000 * (server.cpu_s() - cpu_s) / (len(outcome.answers) * SHAPES[shape])
                figures[f"client_share_{shape}"] = outcome.client_share
                figures[f"ratio_{shape}"] = figures[f"http_{shape}"] / figures[f"raw_{shape}"]
        result |= {name: median([one[name] for one in rounds]) for name in rounds[0]}
        result["default_recall"] = asked.recall(None)
        result["latency_ms"] = percentiles(asked.load(effort, "single", 1).latencies_ms())
    return result


def measure(data: Dataset) -> dict[str, Any]:
    """HTTP against FAISS, with one thread that searches and with two."""
    raw = Raw(data)
    effort = raw.effort()
    both = {str(threads): against_raw(data, raw, effort, threads) for threads in (1, 2)}
    return {"rows": data.rows, "raw_effort": effort, "goal": GOAL, "threads": both}


def exponent(sizes: Sequence[int], milliseconds: Sequence[float]) -> float:
    """b of the line that fits time = a * rows ** b best, in logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(milliseconds), 1)[0])


def growth(data: Dataset, sizes: Sequence[int]) -> dict[str, Any]:
    """Time of a query at the same recall over more and more of the items, one after the other, over HTTP and in FAISS."""
    table = []
    for rows in sizes:
        part = Dataset(data.state, rows)
        with filled(part, search_threads=2) as server:
            asked = Asked(server, part)
            effort = asked.effort()
            row: dict[str, Any] = {"rows": rows, "effort": effort, "recall": asked.recall(effort)}
            row |= {"p50_ms": median([percentiles(asked.load(effort, "single", 1).latencies_ms())["p50"] for _ in range(ROUNDS)])}
            row |= {shape: median([asked.per_second(effort, shape, 4) for _ in range(ROUNDS)]) for shape in SHAPES}
        raw = Raw(part)
        row["raw_effort"] = raw.effort()
        row["raw_ms"] = median([1_000 / raw.speed(row["raw_effort"], 1)["single"] for _ in range(ROUNDS)])
        table.append(row)
    rows_of = [row["rows"] for row in table]
    return {
        "sizes": table,
        "exponent_http": exponent(rows_of, [row["p50_ms"] for row in table]),
        "exponent_raw": exponent(rows_of, [row["raw_ms"] for row in table]),
    }
