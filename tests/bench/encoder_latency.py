"""Latencies when requests come at random instants: at 70 % of the capacity, and at three times of it. Knows nothing of queues."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.bench.encoder_models import Model
from tests.bench.encoder_server import Server, embed_requests
from tests.bench.encoder_serving import CLIENTS, Extent, Fresh, closed
from tests.bench.retriever_load import Load, Outcome
from tests.bench.retriever_timing import median, percentiles

LOADED, FACTOR = 0.7, 3.0
SECONDS_FACTOR = 4
"""An open loop lasts that many rounds of a closed one: a p99 needs many requests."""
LEAST_REQUESTS = 600
CONNECTIONS = 600


def capacity(server: Server, fresh: Fresh, seconds: float) -> float:
    """Requests of one text that are answered a second, with as many clients as the goal names."""
    rate = CLIENTS * 4 / closed(server.port, embed_requests(fresh.take(CLIENTS * 4))).seconds
    count = max(CLIENTS * 4, round(rate * seconds))
    return count / closed(server.port, embed_requests(fresh.take(count))).seconds


def paced(server: Server, fresh: Fresh, rate: float, seconds: float, seed: int) -> Outcome:
    requests = embed_requests(fresh.take(round(rate * seconds)))
    with Load(server.port, CONNECTIONS, keep=False) as load:
        return load.paced(requests, rate, seconds, seed)


def shown(outcome: Outcome) -> dict[str, Any]:
    """Served and refused, and whether every refusal said when to come again."""
    refused = [answer for answer in outcome.answers if answer.status == 429]
    return {
        "served_per_s": outcome.per_second(),
        "served_ms": percentiles(outcome.latencies_ms()),
        "refused_share": len(refused) / len(outcome.answers),
        "without_retry_after": sum(b"\r\nretry-after:" not in answer.head for answer in refused),
        "other_statuses": sorted({answer.status for answer in outcome.answers} - {200, 429}),
        "client_share": outcome.client_share,
    }


def loaded(model: Model, state: Path, extent: Extent) -> dict[str, Any]:
    """p50 and p99 of single texts at 70 %."""
    rounds, fresh = [], Fresh()
    with Server(state, model) as server:
        for number in range(extent.rounds):
            full = capacity(server, fresh, extent.seconds)
            rate = LOADED * full
            seconds = extent.seconds * SECONDS_FACTOR if extent.rounds == 1 else max(extent.seconds * SECONDS_FACTOR, LEAST_REQUESTS / rate)
            rounds.append({"capacity_per_s": full, **shown(paced(server, fresh, rate, seconds, number))})
    ratios = [one["served_ms"]["p99"] / one["served_ms"]["p50"] for one in rounds]
    return {"rounds": rounds, "ratio": median(ratios)}


def measure(models: Sequence[Model], state: Path, extent: Extent) -> dict[str, Any]:
    return {model.name: loaded(model, state, extent) for model in models}


def overload(model: Model, state: Path, extent: Extent) -> dict[str, Any]:
    """At the capacity and at three times of it, in turns."""
    rounds, fresh = [], Fresh()
    with Server(state, model) as server:
        full = median([capacity(server, fresh, extent.seconds) for _ in range(extent.rounds)])
        for number in range(extent.rounds):
            one = {
                str(factor): shown(paced(server, fresh, factor * full, extent.seconds * SECONDS_FACTOR, number)) for factor in (1.0, FACTOR)
            }
            rounds.append(one)
    ratios = [one[str(FACTOR)]["served_ms"]["p99"] / one["1.0"]["served_ms"]["p99"] for one in rounds]
    return {"capacity_per_s": full, "rounds": rounds, "p99_ratio": median(ratios)}
