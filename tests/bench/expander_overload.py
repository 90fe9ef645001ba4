"""Three times more new interests than the LLM can take: who is answered, by whom, how long the queue gets, and how soon it is over.

Knows nothing of how the expander decides.
"""

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from tests.bench.expander_server import Expander, Llm, expand_request, expansion, interests, total
from tests.bench.retriever_load import Answer, Load, Outcome
from tests.bench.retriever_timing import percentiles

CAPACITY, LATENCY_S = 8, 0.25
RATE = CAPACITY / LATENCY_S
FACTOR, AFTERWARDS = 3.0, 0.5
"""Of what the LLM can take: offered at first, and after that."""
DEADLINE_MS = 2_000.0
CONNECTIONS = 256
LIMITS = {"concurrency": 2 * CAPACITY, "queue": 64}
RECOVERED = 0.95
WATCH_S = 0.1


class Watch:
    """The longest queue and the most calls that the expander's metrics showed."""

    def __init__(self, expander: Expander) -> None:
        self._expander, self._ends = expander, threading.Event()
        self.most_waiting = self.most_sent = 0.0

    @contextmanager
    def watching(self) -> Iterator["Watch"]:
        thread = threading.Thread(target=self._watch)
        thread.start()
        try:
            yield self
        finally:
            self._ends.set()
            thread.join()

    def _watch(self) -> None:
        while not self._ends.wait(WATCH_S):
            samples = self._expander.metrics()
            self.most_waiting = max(self.most_waiting, total(samples, "expander_llm_queue_waiting"))
            self.most_sent = max(self.most_sent, total(samples, "expander_llm_permits_in_use"))


def offered(port: int, seconds: Sequence[float], mode: str) -> Outcome:
    """New interests at random instants: three times what the LLM can take for the first seconds, half of it for the rest."""
    drawn, instants, start = np.random.default_rng(3), [], 0.0
    for factor, length in zip((FACTOR, AFTERWARDS), seconds, strict=True):
        gaps = drawn.exponential(1 / (factor * RATE), round(factor * RATE * length))
        instants.append(start + np.cumsum(gaps * length / gaps.sum()))
        start += length
    due = np.concatenate(instants)
    requests = [expand_request(name, mode, DEADLINE_MS) for name in interests(len(due), "overload")]
    with Load(port, CONNECTIONS) as load:
        return load.at(requests, due)


def recovery_s(answers: Sequence[Answer], fell_s: float) -> float | None:
    """Seconds after `fell_s` from which on more than 95 % are answered by the LLM; None when that never comes.

    It has come when all of the rest hold to it, and the next second of them.
    """
    later = sorted((due(answer), expansion(answer)["source"] == "llm") for answer in answers if due(answer) >= fell_s)
    for at, (instant, _) in enumerate(later):
        rest = [by_llm for _, by_llm in later[at:]]
        soon = [by_llm for moment, by_llm in later[at:] if moment < instant + 1]
        if len(rest) * (1 - RECOVERED) >= 1 and min(np.mean(rest), np.mean(soon)) > RECOVERED:
            return float(instant - fell_s)
    return None


def due(answer: Answer) -> float:
    """When its request was due, in seconds since the start."""
    return answer.at_s - answer.latency_s


def substitutes(expander: Expander) -> dict[str, float]:
    """Answers that did not come from the LLM, by what they are counted under."""
    samples = expander.metrics()
    rows = [(dict(labels), value) for (name, labels), value in samples.items() if name == "expander_expansions_total"]
    return {labels["outcome"]: value for labels, value in rows if labels["source"] != "llm"}


def pressed(state: Path, mode: str, seconds: Sequence[float]) -> dict[str, Any]:
    folder = state / f"expander-overload-{mode}"
    with Llm(CAPACITY, LATENCY_S) as llm, Expander(folder, llm.url, llm_limits=LIMITS, max_in_flight=CONNECTIONS) as expander:
        with Watch(expander).watching() as watch:
            outcome = offered(expander.port, seconds, mode)
        counted = substitutes(expander)
        stats = llm.stats()
    answers, fell_s = outcome.answers, seconds[0]
    sources = Counter(expansion(answer)["source"] for answer in answers if answer.status == 200)
    late = [answer for answer in answers if 1_000 * answer.latency_s > DEADLINE_MS]
    pressing = [expansion(answer)["source"] == "llm" for answer in answers if due(answer) < fell_s]
    return {
        "mode": mode,
        "requests": len(answers),
        "offered_per_s": FACTOR * RATE,
        "in_time": 1 - len(late) / len(answers),
        "latest_ms": 1_000 * max(answer.latency_s for answer in answers),
        "ms": percentiles(outcome.latencies_ms()),
        "other_statuses": outcome.refused(),
        "without_topics": sources["none"],
        "by_llm_under_pressure": float(np.mean(pressing)),
        "made_behind": stats["answered"],
        "substitutes": sources["cooccurrence"] + sources["none"],
        "substitutes_counted": counted,
        "at_llm": {"most": stats["most_held"], "may": LIMITS["concurrency"]},
        "queue": {"most": watch.most_waiting, "may": LIMITS["queue"]},
        "recovery_s": recovery_s(answers, fell_s) if mode == "wait" else None,  # else nobody sees it: no interest is asked for again
    }


def measure(state: Path, seconds: Sequence[float]) -> dict[str, Any]:
    """`seconds` of overload and of what comes after it, in both modes."""
    return {"capacity_per_s": RATE, "deadline_ms": DEADLINE_MS, "modes": [pressed(state, mode, seconds) for mode in ("wait", "async")]}
