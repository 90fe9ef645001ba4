"""What the cluster tests take for granted of the chart is what the chart renders: names, labels, claims, budgets, peers."""

import pytest
from tests.deploy.rendering import Object, render
from tests.e2e.cluster.pods import CLIENT
from tests.e2e.cluster.release import dev_values, merged
from tests.e2e.cluster.test_budget import STATELESS
from tests.e2e.cluster.test_network_policy import PORTS
from tests.e2e.cluster.test_scaling import AUTOSCALING
from tests.e2e.cluster.workloads import SERVICES, has_claim, labels_of

RELEASE = "warmstart"


@pytest.fixture(scope="module")
def found() -> tuple[Object, ...]:
    """The release that the cluster tests install."""
    return render(dev_values("registry.example/warmstart", "7"), RELEASE)


def named(found: tuple[Object, ...], kind: str, name: str) -> Object:
    (one,) = [one for one in found if one["kind"] == kind and one["metadata"]["name"] == name]
    return one


def workload(found: tuple[Object, ...], service: str) -> Object:
    return named(found, "StatefulSet" if service == "retriever" else "Deployment", f"{RELEASE}-{service}")


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_is_found_by_name_and_labels(found: tuple[Object, ...], service: str) -> None:
    own = workload(found, service)
    wanted = labels_of(RELEASE, service)
    for labels in (own["metadata"]["labels"], own["spec"]["template"]["metadata"]["labels"]):
        assert labels.items() >= wanted.items()
    (port,) = named(found, "Service", f"{RELEASE}-{service}")["spec"]["ports"]
    assert port["port"] == PORTS[service]
    assert own["spec"]["replicas"] >= 1


def test_jobs_are_found_by_the_labels_of_the_release(found: tuple[Object, ...]) -> None:
    wanted = labels_of(RELEASE)
    jobs = [one for one in found if one["kind"] == "Job"]
    assert jobs
    assert all(job["metadata"]["labels"].items() >= wanted.items() for job in jobs)


def test_the_service_that_is_evicted_and_drained_has_two_pods_a_budget_and_no_claim(found: tuple[Object, ...]) -> None:
    own = workload(found, STATELESS)
    assert own["spec"]["replicas"] == 2
    assert not has_claim(own["spec"]["template"])
    assert named(found, "PodDisruptionBudget", f"{RELEASE}-{STATELESS}")["spec"]["maxUnavailable"] == 1


def test_the_pods_of_the_tests_may_call_the_gateway_and_nothing_else(found: tuple[Object, ...]) -> None:
    peer = {"podSelector": {"matchLabels": CLIENT}}
    for service in SERVICES:
        policy = named(found, "NetworkPolicy", f"{RELEASE}-{service}")
        peers = [one for rule in policy["spec"]["ingress"] for one in rule["from"]]
        assert (peer in peers) is (service == "gateway")


def test_an_upgrade_of_the_tests_changes_the_pods_of_every_service(found: tuple[Object, ...]) -> None:
    annotated = {service: {"podAnnotations": {"warmstart-tests/upgrade": "1"}} for service in SERVICES}
    upgraded = render(merged(dev_values("registry.example/warmstart", "7"), {"services": annotated}), RELEASE)
    for service in SERVICES:
        assert workload(found, service)["spec"]["template"] != workload(upgraded, service)["spec"]["template"]
        assert workload(found, service)["spec"]["selector"] == workload(upgraded, service)["spec"]["selector"]


def test_the_autoscaler_of_the_tests_scales_the_encoder() -> None:
    scaled = render(merged(dev_values("registry.example/warmstart", "7"), {"services": {"encoder": {"autoscaling": AUTOSCALING}}}), RELEASE)
    autoscaler = named(scaled, "HorizontalPodAutoscaler", f"{RELEASE}-encoder")
    assert autoscaler["spec"]["scaleTargetRef"]["name"] == f"{RELEASE}-encoder"
    assert autoscaler["spec"]["maxReplicas"] == AUTOSCALING["maxReplicas"]
    assert "replicas" not in workload(scaled, "encoder")["spec"]
