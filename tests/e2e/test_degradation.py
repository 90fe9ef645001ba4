"""One service dead or stalled: still an answer, and it says which stage was substituted."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import httpx2
import pytest

from pipelines.suite import Suite

Failure = Callable[[Suite, str], AbstractContextManager[None]]
FAILURES: dict[str, Failure] = {"killed": Suite.killed, "stalled": Suite.stalled}
DEADLINE_MS = 1_500


def recommend(gateway: httpx2.Client, **request: Any) -> dict[str, Any]:
    answer = gateway.post("/v1/recommendations", json={"deadline_ms": DEADLINE_MS, **request}, timeout=5)
    assert answer.status_code == 200, answer.text
    assert answer.json()["items"]
    return dict(answer.json())


def stages(answer: dict[str, Any]) -> list[str]:
    return [degradation["stage"] for degradation in answer["degraded"]]


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("service", ["expander", "encoder", "retriever"])
def test_a_failing_service_is_named_and_the_answer_comes(suite: Suite, gateway: httpx2.Client, service: str, failure: str) -> None:
    request = {"interests": [f"a {failure} {service} and its consequences"], "liked_items": ["7"]}
    with FAILURES[failure](suite, service):
        assert service in stages(recommend(gateway, **request))
    assert stages(recommend(gateway, **request, topics=[])) == []


@pytest.mark.parametrize("service", ["expander", "encoder", "retriever"])
def test_the_popular_list_survives_every_single_failure(suite: Suite, gateway: httpx2.Client, service: str) -> None:
    with suite.killed(service):
        recommend(gateway, k=20)


def test_with_everything_behind_the_gateway_dead_there_are_still_popular_books(suite: Suite, gateway: httpx2.Client) -> None:
    with suite.killed("expander"), suite.killed("encoder"), suite.killed("retriever"):
        answer = recommend(gateway, interests=["castles on a lonely coast"], liked_items=["7"])
    assert {"expander", "encoder", "retriever"} == set(stages(answer))


def test_a_gateway_that_was_killed_comes_back_with_every_acknowledged_event(suite: Suite, gateway: httpx2.Client) -> None:
    events = [{"user_id": "survivor", "item_id": str(item), "type": "like"} for item in (7, 672)]
    assert gateway.post("/v1/events", json={"events": events}).json()["stored"] == 2
    with suite.killed("gateway"):
        pass
    assert gateway.get("/v1/users/survivor").json()["event_count"] == 2
    assert gateway.delete("/v1/users/survivor").status_code == 204


@pytest.mark.parametrize("service", ["encoder", "expander", "retriever", "gateway"])
def test_readiness_and_liveness_and_metrics_answer(suite: Suite, service: str) -> None:
    for path in ("/livez", "/readyz", "/metrics"):
        assert httpx2.get(suite.url(service) + path, timeout=10).status_code == 200
    assert f"{service}_requests_total" in httpx2.get(suite.url(service) + "/metrics").text
