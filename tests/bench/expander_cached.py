"""Expansions that are kept already, by an expander that has one core: how many a second, and how late. Knows nothing of LLMs."""

import gc
import json
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests import redis_server
from tests.bench.expander_server import Expander, Llm, apart, expand_request, expansion, interests
from tests.bench.retriever_load import Load, Outcome
from tests.bench.retriever_timing import median, percentiles

KINDS, DRAWN = 1_000, 20_000
CONNECTIONS = 16
OPEN_CONNECTIONS = 64
GOAL_PER_S = 3_000
SHARE = 0.8
"""Of the most that it answers, for the latency under load."""


def zipf(kinds: Sequence[str], count: int, seed: int, exponent: float = 1.0) -> list[str]:
    """`count` of `kinds`, the one in place n as often as n to the power of -`exponent`."""
    return random.Random(seed).choices(kinds, [1 / place**exponent for place in range(1, len(kinds) + 1)], k=count)


@contextmanager
def filled(state: Path, name: str, **settings: Any) -> Iterator[tuple[Expander, list[bytes]]]:
    """An expander that keeps all kinds, on a core of its own, and requests for them."""
    folder, kinds = state / f"expander-cached-{name}", interests(KINDS, "kept")
    with Llm() as llm, Expander(folder, llm.url, **settings) as expander:
        expander.precompute(kinds)
        with apart(expander.pid) as alone:
            if not alone:
                print("  expander and client share a core", flush=True)
            requests = {kind: expand_request(kind, "async") for kind in kinds}
            proof = closed(expander.port, list(requests.values()), len(kinds), keep=True)
            wrong = [told for answer in proof.answers if not (told := expansion(answer))["cached"] or len(told["topics"]) != 5]
            if wrong:
                raise AssertionError(f"{len(wrong)} were not kept, such as {json.dumps(wrong[0])}")
            yield expander, [requests[kind] for kind in zipf(kinds, DRAWN, 1)]


def closed(port: int, requests: Sequence[bytes], count: int = 0, seconds: float = 0.0, keep: bool = False) -> Outcome:
    with Load(port, CONNECTIONS, keep=keep) as load, uncollected():
        return load.closed(requests, count, seconds)


def paced(port: int, requests: Sequence[bytes], rate: float, seconds: float) -> Outcome:
    with Load(port, OPEN_CONNECTIONS, keep=False) as load, uncollected():
        return load.paced(requests, rate, seconds, 1)


@contextmanager
def uncollected() -> Iterator[None]:
    """The client makes no pauses to look for garbage: they would be counted against the server."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def shown(outcome: Outcome) -> dict[str, Any]:
    return {
        "per_s": outcome.per_second(),
        "ms": percentiles(outcome.latencies_ms()),
        "client_share": outcome.client_share,
        "refused": outcome.refused(),
    }


def timed(expander: Expander, requests: Sequence[bytes], seconds: float, rounds: int) -> dict[str, Any]:
    """The most in a closed loop, then at that share of it, and at the goal's rate; all in turns.

    `starved`: for what share of the time the expander's core was taken by others while it had something to do.
    """
    found = []
    for _ in range(rounds):
        cpu_s, waited_s = expander.cpu_s(), expander.waited_s()
        most = closed(expander.port, requests, seconds=seconds)
        cpu_us = 1e6 * (expander.cpu_s() - cpu_s) / len(most.answers)
        rates = {"at_share": SHARE * most.per_second(), "at_goal": float(GOAL_PER_S)}
        open_loops = {name: shown(paced(expander.port, requests, rate, seconds)) for name, rate in rates.items()}
        seconds_of = 3 * seconds  # a closed loop and two open ones
        found.append({"most": shown(most), "cpu_us": cpu_us, "starved": (expander.waited_s() - waited_s) / seconds_of, **open_loops})
    return {"rounds": found, **middle(found)}


def middle(found: Sequence[dict[str, Any]]) -> dict[str, float]:
    return {
        "per_s": median([one["most"]["per_s"] for one in found]),
        "cpu_us": median([one["cpu_us"] for one in found]),
        "closed_p99": median([one["most"]["ms"]["p99"] for one in found]),
        "share_p99": median([one["at_share"]["ms"]["p99"] for one in found]),
        "goal_p99": median([one["at_goal"]["ms"]["p99"] for one in found]),
        "starved": max(one["starved"] for one in found),
        "client_share": max(one["most"]["client_share"] for one in found),
    }


def measure(state: Path, seconds: float, rounds: int) -> dict[str, Any]:
    """With the SQLite file, with Redis behind the memory, and with a memory so small that Redis is asked each time."""
    with filled(state, "sqlite") as (expander, requests):
        told: dict[str, Any] = {"kinds": KINDS, "sqlite": timed(expander, requests, seconds, rounds)}
    if (program := redis_server.program()) is None:
        return told | {"redis": {"failed": "Redis is not installed"}}
    with redis_server.running(program) as redis:
        with filled(state, "redis", cache_url=redis.url) as (expander, requests):
            told["redis"] = timed(expander, requests, seconds, rounds)
        with filled(state, "redis-each", cache_url=redis.url, cache_size=1) as (expander, requests):
            told["redis each time"] = timed(expander, requests, seconds, rounds)
    return told
