"""How many calls of the LLM are left, by its own count: of requests that repeat interests, and of callers that come at once.

Knows nothing of caches and flights.
"""

import random
import threading
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests import redis_server
from tests.bench.expander_cached import zipf
from tests.bench.expander_server import Expander, Llm, expand_request, expansion, interests
from tests.bench.retriever_load import Answer, Load

KINDS, REQUESTS, EXPONENT, SEED = 2_000, 10_000, 1.0, 6
HEADS = (0, 1_000, 1_600, 1_800)
"""The most frequent kinds that are made ahead of traffic; the goals name the first and the last."""
CONNECTIONS = 16
LATENCY_S = 0.002
"""Of the fake LLM, here: long enough that callers of one interest meet, short enough for 2,000 calls."""
CALLERS = 100


def spelt(interest: str, drawn: random.Random) -> str:
    """The same interest, as several people would type it."""
    return drawn.choice((interest, interest.upper(), interest.capitalize(), f"  {interest} ", interest.replace(" ", "  ")))


def repeated(state: Path, mode: str, head: int, count: int) -> dict[str, Any]:
    """Calls for `count` requests, by a cache that has the `head` most frequent kinds and nothing else."""
    folder, kinds, drawn = state / "expander-calls", interests(KINDS, "zipf"), random.Random(SEED)
    asked = zipf(kinds, count, SEED, EXPONENT)
    requests = [expand_request(spelt(kind, drawn), mode) for kind in asked]
    with Llm(latency_s=LATENCY_S) as llm, Expander(folder, llm.url) as expander:
        if head:
            expander.precompute(kinds[:head])
        before = llm.stats()["calls"]
        with Load(expander.port, CONNECTIONS) as load:
            answers = load.closed(requests).answers
        sources = Counter(expansion(answer)["source"] for answer in answers)
        unsent = expander.value("expander_llm_unsent_total")
        return {
            "calls": llm.stats()["calls"] - before,
            "requests": count,
            "distinct": len(set(asked)),
            "beyond_head": len(set(asked) - set(kinds[:head])),
            "from_llm": sources["llm"] / count,
            "unsent": unsent,
        }


def together(ports: Sequence[int], interest: str) -> list[Answer]:
    """The answers to 100 callers, shared out over the expanders, who ask in one instant."""
    each, answers = CALLERS // len(ports), list[Answer]()
    barrier = threading.Barrier(len(ports))

    def ask(port: int) -> None:
        with Load(port, each) as load:
            barrier.wait()
            answers.extend(load.closed([expand_request(interest)], each).answers)

    team = [threading.Thread(target=ask, args=(port,)) for port in ports]
    for thread in team:
        thread.start()
    for thread in team:
        thread.join()
    return answers


def flown(state: Path, replicas: int, rounds: int, latency_s: float = 0.3, **settings: Any) -> dict[str, Any]:
    """Calls for each new interest that 100 callers have at once."""
    calls, from_llm = [], []
    with ExitStack() as stack:
        llm = stack.enter_context(Llm(latency_s=latency_s))
        folders = [state / f"expander-flown-{number}" for number in range(replicas)]
        ports = [stack.enter_context(Expander(folder, llm.url, **settings)).port for folder in folders]
        for interest in interests(rounds, "together"):
            before = llm.stats()["calls"]
            answers = together(ports, interest)
            calls.append(llm.stats()["calls"] - before)
            from_llm.append(sum(expansion(answer)["source"] == "llm" for answer in answers))
    return {"replicas": replicas, "callers": CALLERS, "calls": dict(Counter(calls)), "answered_by_llm": dict(Counter(from_llm))}


def measure(state: Path, quick: bool) -> dict[str, Any]:
    """Repeated interests in both modes, cold and with several heads made ahead; then callers at once, of one expander and of two."""
    heads = (HEADS[0], HEADS[-1]) if quick else HEADS
    told: dict[str, Any] = {
        "zipf": {mode: {str(head): repeated(state, mode, head, REQUESTS) for head in heads} for mode in ("wait", "async")},
        "together": [flown(state, 1, 5 if quick else 20)],
    }
    if (program := redis_server.program()) is None:
        told["failed"] = "Redis is not installed"
        return told
    with redis_server.running(program) as redis:
        told["together"].append(flown(state, 2, 5 if quick else 20, cache_url=redis.url))
    return told
