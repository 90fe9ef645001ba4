"""Three times what the retriever can do: some are answered, soon enough, and the rest are told to come back. Nobody hangs."""

import json
from pathlib import Path

import httpx2
import numpy as np
import pytest
from tests.bench.retriever_load import Load, Outcome, request
from tests.chaos.processes import running

ITEMS, DIMENSION, QUERIES = 8_000, 64, 16
TIMES, SECONDS = 3, 8
MOST_TIMES_SLOWER = 10
"""Two cores shared with the client and whoever else; what is reached on an idle machine is in the printed line."""


def fill(client: httpx2.Client) -> None:
    drawn = np.random.default_rng(0)
    for start in range(0, ITEMS, 1_000):
        units = drawn.standard_normal((1_000, DIMENSION))
        units /= np.linalg.norm(units, axis=1, keepdims=True)
        items = [{"item": {"id": f"i{start + at}", "title": "t"}, "embedding": unit.tolist()} for at, unit in enumerate(units)]
        assert client.put("/v1/items", json={"fingerprint": "f", "items": items}).status_code == 200


def searches() -> list[bytes]:
    drawn = np.random.default_rng(1).standard_normal((50, QUERIES, DIMENSION))
    drawn /= np.linalg.norm(drawn, axis=2, keepdims=True)
    bodies = [{"searches": [{"embeddings": rows.tolist()}], "k": 10, "exact": True} for rows in drawn]
    return [request("POST", "/v1/search", json.dumps(body).encode()) for body in bodies]


def p99(outcome: Outcome) -> float:
    return float(np.percentile(outcome.latencies_ms(), 99))


@pytest.mark.timed
def test_at_three_times_its_capacity_the_served_stay_fast_and_the_rest_are_told_to_come_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = searches()
    with running(tmp_path / "state", search_threads="2", max_in_flight="32") as retriever:
        fill(retriever.client)
        with Load(retriever.port, 4, keep=False) as load:
            load.closed(asked, seconds=1)
            capacity = load.closed(asked, seconds=3)
        assert not capacity.refused()
        with Load(retriever.port, 400) as load:
            flood = load.paced(asked, TIMES * capacity.per_second(), SECONDS)
        refused = [answer for answer in flood.answers if answer.status != 200]
        slower = p99(flood) / p99(capacity)
        with capsys.disabled():
            print(f"\ncapacity {capacity.per_second():.0f}/s with p99 {p99(capacity):.1f} ms; at {TIMES} times that", end=" ")
            print(f"{flood.per_second():.0f}/s served with p99 {p99(flood):.1f} ms ({slower:.1f}x), {len(refused)} refused")
        assert len(flood.answers) == round(TIMES * capacity.per_second() * SECONDS)
        assert {answer.status for answer in refused} == {429}
        assert all(b"\r\nretry-after: " in answer.head and b"problem+json" in answer.head for answer in refused)
        assert flood.per_second() > capacity.per_second() / 3
        assert slower < MOST_TIMES_SLOWER
        assert retriever.client.post("/v1/search", json={"searches": [{"positive": ["i1"]}], "k": 1}).status_code == 200
