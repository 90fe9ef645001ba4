"""Three times more searches than the server can answer: what becomes of those it serves, and how the rest are refused.

Knows nothing of how the server decides.
"""

from typing import Any

from tests.bench.retriever_dataset import Dataset
from tests.bench.retriever_load import Load, Outcome
from tests.bench.retriever_search import Asked
from tests.bench.retriever_server import Server, filled, searches
from tests.bench.retriever_timing import ROUNDS, median, percentiles

CONNECTIONS = 600
SECONDS = 8.0
FACTOR = 3


def pressed(server: Server, data: Dataset, effort: int, rate: float) -> Outcome:
    """Open loop: the callers do not slow down when the server does."""
    with Load(server.port, CONNECTIONS, keep=False) as load:
        return load.paced(searches(data.reported, 1, effort=effort), rate, SECONDS)


def shown(outcome: Outcome) -> dict[str, Any]:
    """Served and refused, and whether every refusal said when to come again."""
    refused = [answer for answer in outcome.answers if answer.status == 429]
    others = {answer.status for answer in outcome.answers} - {200, 429}
    return {
        "served_per_s": outcome.per_second(),
        "served_ms": percentiles(outcome.latencies_ms()),
        "refused_share": len(refused) / len(outcome.answers),
        "refused_ms": percentiles([1_000 * answer.latency_s for answer in refused]) if refused else None,
        "without_retry_after": sum(b"\r\nretry-after:" not in answer.head for answer in refused),
        "other_statuses": sorted(others),
        "client_share": outcome.client_share,
    }


def measure(data: Dataset) -> dict[str, Any]:
    """Capacity in a closed loop; then that many a second, and FACTOR times as many, in turns."""
    with filled(data, search_threads=2) as server:
        asked = Asked(server, data)
        effort = asked.effort()
        capacity = median([asked.per_second(effort, "single", 8) for _ in range(ROUNDS)])
        rounds = [{str(factor): shown(pressed(server, data, effort, factor * capacity)) for factor in (1, FACTOR)} for _ in range(ROUNDS)]
    ratios = [one[str(FACTOR)]["served_ms"]["p99"] / one["1"]["served_ms"]["p99"] for one in rounds]
    return {"rows": data.rows, "effort": effort, "capacity_per_s": capacity, "rounds": rounds, "p99_ratio": median(ratios)}
