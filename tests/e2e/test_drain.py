"""SIGTERM loses no request."""

import signal
import threading

import httpx2
import pytest

from pipelines.suite import Suite


@pytest.mark.parametrize("service", ["encoder", "expander", "retriever", "gateway"])
def test_requests_in_flight_are_answered_after_sigterm_and_the_exit_is_clean(suite: Suite, service: str) -> None:
    bodies = {
        "encoder": ("/v1/embed", {"texts": ["a passage about the sea and those who sail it"] * 32}),
        "expander": ("/v1/expand", {"interests": ["vampires"]}),
        "retriever": ("/v1/retrieve", {"liked": ["7"], "weights": {"collaborative": 1}, "k": 500}),
        "gateway": ("/v1/recommendations", {"interests": ["an interest nobody had before SIGTERM"], "deadline_ms": 10_000}),
    }
    path, body = bodies[service]
    statuses: list[int] = []

    def ask(client: httpx2.Client) -> None:
        statuses.append(client.post(suite.url(service) + path, json=body).status_code)

    with httpx2.Client(timeout=30) as client:
        assert client.get(suite.url(service) + "/livez").status_code == 200
        askers = [threading.Thread(target=ask, args=(client,)) for _ in range(4)]
        for asker in askers:
            asker.start()
        threading.Event().wait(0.05)  # let the requests arrive before the signal
        suite.signal(service, signal.SIGTERM)
        for asker in askers:
            asker.join()
    try:
        assert statuses == [200] * 4
        assert suite.wait(service) == 0
    finally:
        suite.start(service)
        suite.wait_ready(service)
