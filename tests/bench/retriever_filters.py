"""Recall and latency of searches under filters of every share, random and correlated. Knows nothing of how the server does them."""

from typing import Any

import numpy as np
from tests.bench.retriever_dataset import SHAPES, SHARES, Dataset, recall
from tests.bench.retriever_load import Load, Outcome
from tests.bench.retriever_search import Asked
from tests.bench.retriever_server import Server, ServerRefused, filled, search_request
from tests.bench.retriever_timing import ROUNDS, median, percentiles


def told(outcomes: list[Outcome]) -> dict[str, float]:
    """Medians of the rounds' p50 and p99, in milliseconds."""
    each = [percentiles(outcome.latencies_ms()) for outcome in outcomes]
    return {name: median([one[name] for one in each]) for name in ("p50", "p99")}


def measure(data: Dataset) -> dict[str, Any]:
    """One caller, one query after the other, with the effort that no filter needs for the goal and with the default one.

    Each filter is asked in two ways: again and again, as a shop does (warm), and never the same twice (cold), so that nothing the server
    remembers of filters helps.
    """
    unfiltered = data.truth[len(data.dev) :][: len(data.filtered)]
    with filled(data, search_threads=2) as server:
        needed = Asked(server, data).effort()
        answer: dict[str, Any] = {"rows": data.rows, "effort": needed}
        for name, more in (("needed", {"effort": needed}), ("default", {})):
            server.ask(data.filtered, **more)
            rounds = [server.ask(data.filtered, **more) for _ in range(ROUNDS)]
            plain = told([outcome for outcome, _ in rounds]) | {"recall": recall(rounds[0][1], unfiltered)}
            cells = {shelf: cell(server, data, shelf, more, plain["p99"]) for shelf in data.filtered_truth}
            answer[name] = {"unfiltered": plain, "cells": cells}
    return answer


def cell(server: Server, data: Dataset, shelf: str, more: dict[str, Any], plain_p99: float) -> dict[str, Any]:
    """Recall and plans under one filter, and its latencies warm and cold; `p50` and `p99` are the slower of both."""
    condition = {"shelves": {"contains": shelf}}
    rounds = [server.ask(data.filtered, filter=condition, **more) for _ in range(ROUNDS)]
    warm = told([outcome for outcome, _ in rounds])
    cold = told([once(server, data, shelf, number, more) for number in range(ROUNDS)])
    slower = max(warm, cold, key=lambda of: of["p99"])
    found = {"recall": recall(rounds[0][1], data.filtered_truth[shelf]), "warm": warm, "cold": cold}
    return slower | found | {"p99_ratio": slower["p99"] / plain_p99, "plans": plans(server, data, condition, more)}


def once(server: Server, data: Dataset, shelf: str, number: int, more: dict[str, Any]) -> Outcome:
    """All queries, each under a filter of its own that allows the same items as `shelf`."""
    nobody = (f"nobody {number} {at} {sorted(more)}" for at in range(len(data.filtered)))
    same = [{"or": [{"shelves": {"contains": shelf}}, {"shelves": {"contains": word}}]} for word in nobody]
    asked = [search_request(data.filtered[at : at + 1], filter=condition, **more) for at, condition in enumerate(same)]
    with Load(server.port, 1) as load:
        outcome = load.closed(asked)
    if outcome.refused():
        raise ServerRefused(outcome.refused()[0])
    return outcome


def plans(server: Server, data: Dataset, condition: dict[str, Any], more: dict[str, Any]) -> dict[str, int]:
    """How often the server took which plan, of 50 queries."""
    taken: dict[str, int] = {}
    for query in data.filtered[:50]:
        asked = {"searches": [{"embeddings": [query.tolist()]}], "k": 10, "filter": condition, "explain": True, **more}
        for part in server.call("POST", "/v1/search", asked)["plan"]:
            name = str(part["taken"])
            taken[name] = taken.get(name, 0) + 1
    return taken


def title(shelf: str) -> str:
    """Such as "2 % nearest to a direction"."""
    return f"{SHARES[shelf[1:]] * 100:g} % {SHAPES[shelf[0]]}"


def worst(cells: dict[str, dict[str, Any]]) -> tuple[float, float]:
    """The lowest recall and the highest p99 against unfiltered."""
    return min(cell["recall"] for cell in cells.values()), float(np.max([cell["p99_ratio"] for cell in cells.values()]))
