"""Only the arrows of the map are open: a stray pod reaches none of the services, and the gateway still reaches its own."""

import json
from typing import Any

import pytest
from tests.e2e.cluster.installed import Installed
from tests.e2e.cluster.kubectl import NeverTrue, until
from tests.e2e.cluster.pods import Inside

pytestmark = pytest.mark.timeout(1800)

PORTS = {"gateway": 8000, "encoder": 8001, "expander": 8002, "retriever": 8003}
STOPPED = ("timed out", "refused")
DENY_ALL: dict[str, Any] = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "deny-all"},
    "spec": {"podSelector": {"matchLabels": {"warmstart-tests": "listener"}}, "policyTypes": ["Ingress"]},
}


@pytest.fixture(scope="module")
def enforced(stray: Inside) -> None:
    """Skips where a deny-all policy does not stop a connection that worked before it: then the CNI enforces none."""
    with stray.listener() as address:
        until("the listener is reached before there is a policy", lambda: stray.reach(address)[address] == "connected")
        stray.kubectl.create(DENY_ALL)
        try:
            until("a deny-all policy stops connections", lambda: stray.reach(address)[address] != "connected", timeout_s=60)
        except NeverTrue:
            pytest.skip("the CNI of this cluster enforces no NetworkPolicy: a deny-all policy changed nothing within 60 s")
        finally:
            stray.kubectl.delete("networkpolicy", "deny-all")


@pytest.mark.usefixtures("enforced")
@pytest.mark.parametrize("service", PORTS)
def test_a_stray_pod_reaches_no_pod_of_a_service_nor_its_service(settled: Installed, stray: Inside, service: str) -> None:
    cluster_ip = settled.kubectl.get("service", f"{settled.release.name}-{service}")["spec"]["clusterIP"]
    hosts = [cluster_ip, *(pod["status"]["podIP"] for pod in settled.workloads.pods(service))]
    outcomes = stray.reach(*(f"{host}:{PORTS[service]}" for host in hosts))
    assert len(outcomes) >= 2
    assert all(outcome.startswith(STOPPED) for outcome in outcomes.values()), outcomes


@pytest.mark.usefixtures("enforced")
def test_a_pod_beside_the_services_reaches_only_those_that_the_policy_names(settled: Installed) -> None:
    addresses = [f"{settled.release.name}-{service}:{port}" for service, port in PORTS.items()]
    outcomes = settled.inside.reach(*addresses)  # without the label that the gateway's policy asks for
    assert all(outcome.startswith(STOPPED) for outcome in outcomes.values()), outcomes
    (answer,) = settled.inside.send({"method": "GET", "path": "/v1/status"})  # with it
    assert answer["status"] == 200


@pytest.mark.usefixtures("enforced")
def test_the_gateway_still_reaches_what_it_needs(settled: Installed) -> None:
    asked = {"interests": ["a pod that is allowed to speak"], "k": 3, "deadline_ms": 10_000}
    (answer,) = settled.inside.send({"method": "POST", "path": "/v1/recommendations", "json": asked})
    assert json.loads(answer["text"])["degraded"] == []
