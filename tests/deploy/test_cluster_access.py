"""How the cluster tests use a cluster, proved with the real `kubectl` against a small API server, and with the real services under load."""

import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import kubernetes_validate
import pytest
from tests.deploy import api_server
from tests.deploy.api_server import Server
from tests.deploy.controllers import deployment
from tests.e2e.cluster.kubectl import Kubectl, KubectlFailed, NeverTrue, until
from tests.e2e.cluster.pods import Inside, pod, scripts
from tests.e2e.cluster.release import merged
from tests.e2e.cluster.test_network_policy import DENY_ALL
from tests.e2e.cluster.workloads import Workloads, has_claim, is_rolled_out, names

from pipelines.suite import Suite

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")

GATEWAY = "http://warmstart-gateway:8000"
LABELS = {"app.kubernetes.io/name": "warmstart", "app.kubernetes.io/instance": "warmstart", "app.kubernetes.io/component": "encoder"}
BUDGET = {
    "apiVersion": "policy/v1",
    "kind": "PodDisruptionBudget",
    "metadata": {"name": "encoder"},
    "spec": {"maxUnavailable": 1, "selector": {"matchLabels": LABELS}},
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with api_server.running(tmp_path) as running:
        yield running


@pytest.fixture
def kubectl(server: Server, tmp_path: Path) -> Kubectl:
    """In a namespace with two nodes in the cluster and two encoders behind a budget."""
    bound = Kubectl(server.kubeconfig(tmp_path / "kubeconfig"), "ours")
    bound.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ours"}})
    bound.create(*({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": {}} for name in ("one", "two")))
    bound.create(deployment("warmstart-encoder", LABELS, replicas=2), BUDGET)
    Workloads(bound, "warmstart").wait_settled(timeout_s=20)
    return bound


@pytest.fixture
def workloads(kubectl: Kubectl) -> Workloads:
    return Workloads(kubectl, "warmstart")


def test_a_second_eviction_at_once_is_refused_and_allowed_once_the_first_is_replaced(kubectl: Kubectl, workloads: Workloads) -> None:
    first, second = names(workloads.pods("encoder"))
    assert kubectl.evict(first)
    assert not kubectl.evict(second)
    assert not workloads.are_settled()
    workloads.wait_settled(timeout_s=20)
    assert first not in names(workloads.pods("encoder"))
    assert kubectl.evict(second)


def test_an_eviction_of_a_pod_that_is_not_there_is_an_error_and_no_refusal(kubectl: Kubectl) -> None:
    with pytest.raises(KubectlFailed, match="not found"):
        kubectl.evict("nobody")


def test_a_drained_node_keeps_no_pod_and_takes_pods_again_after(kubectl: Kubectl, workloads: Workloads) -> None:
    assert {pod["spec"]["nodeName"] for pod in workloads.pods("encoder")} == {"one"}
    kubectl.drain("one", workloads.selector("encoder"), timeout_s=30)
    workloads.wait_settled(timeout_s=20)
    assert {pod["spec"]["nodeName"] for pod in workloads.pods("encoder")} == {"two"}
    assert kubectl.get("node", "one")["spec"]["unschedulable"]
    kubectl.uncordon("one")
    assert not kubectl.get("node", "one")["spec"].get("unschedulable")


def test_a_deleted_pod_is_gone_and_replaced(kubectl: Kubectl, workloads: Workloads) -> None:
    victim = names(workloads.pods("encoder"))[0]
    kubectl.delete("pod", victim, grace_s=1)
    assert victim not in names(workloads.pods("encoder"))
    workloads.wait_settled(timeout_s=20)
    assert len(workloads.pods("encoder")) == 2
    kubectl.delete("pod", victim)  # gone already: no error


def test_an_unknown_field_is_refused(kubectl: Kubectl) -> None:
    wrong = pod("wrong", "image", ["true"])
    wrong["spec"]["containers"][0]["comand"] = []
    with pytest.raises(KubectlFailed, match="comand"):
        kubectl.create(wrong)


def test_what_the_server_does_not_serve_is_no_reason_to_fail(kubectl: Kubectl) -> None:
    assert kubectl.serves("/version")
    assert not kubectl.serves("/apis/metrics.k8s.io/v1beta1/nodes")


def test_waiting_says_what_did_not_come_and_what_was_seen(kubectl: Kubectl) -> None:
    with pytest.raises(NeverTrue, match=r"not within 0 s: a pod; seen last: .*not found"):
        until("a pod", lambda: kubectl.get("pod", "nobody"), timeout_s=0)


@pytest.mark.parametrize(
    "status",
    [
        {"observedGeneration": 1},
        {"observedGeneration": 2, "replicas": 3, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2},
        {"observedGeneration": 2, "replicas": 2, "updatedReplicas": 1, "readyReplicas": 2, "availableReplicas": 2},
        {"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 1, "availableReplicas": 2},
        {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2},
    ],
)
def test_a_rollout_under_way_is_not_taken_for_done(status: dict[str, int]) -> None:
    workload = {"kind": "Deployment", "metadata": {"generation": 2}, "spec": {"replicas": 2}, "status": status}
    assert not is_rolled_out(workload)
    done = {"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2}
    assert is_rolled_out(workload | {"status": done})
    half = {"currentRevision": "a", "updateRevision": "b"}
    assert not is_rolled_out(workload | {"kind": "StatefulSet", "status": done | half})


@pytest.mark.parametrize("version", ["1.30", kubernetes_validate.latest_version()])
def test_everything_the_tests_create_is_valid(version: str) -> None:
    for made in (scripts(), pod("a", "image", ["python"]), DENY_ALL, BUDGET, deployment("a", LABELS, 1)):
        kubernetes_validate.validate(made, version, strict=True)


def test_a_pod_of_the_tests_passes_the_restricted_standard_and_has_no_claim() -> None:
    made = pod("a", "image", ["python"])
    assert not has_claim(made)
    assert made["spec"]["securityContext"]["runAsNonRoot"] is True
    assert made["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert all(container["securityContext"]["capabilities"] == {"drop": ["ALL"]} for container in made["spec"]["containers"])
    assert not any(container["securityContext"]["allowPrivilegeEscalation"] for container in made["spec"]["containers"])


def test_values_are_merged_as_helm_merges_them() -> None:
    assert merged({"a": {"b": 1, "c": [1, 2]}}, {"a": {"c": [3]}, "d": 4}) == {"a": {"b": 1, "c": [3]}, "d": 4}


@pytest.fixture
def inside(suite: Suite, tmp_path: Path) -> Iterator[Inside]:
    """The pods of the tests as processes of this machine, in front of the real four services."""
    folder = tmp_path / "pods"
    folder.mkdir()
    with api_server.running(folder, {GATEWAY: suite.gateway_url}) as server:
        kubectl = Kubectl(server.kubeconfig(tmp_path / "kubeconfig"), "ours")
        kubectl.create(scripts())
        yield Inside(kubectl, "warmstart/pipelines:1", GATEWAY)


def test_requests_are_sent_and_the_catalogue_is_counted_from_inside(suite: Suite, inside: Inside) -> None:
    status, missing = inside.send({"method": "GET", "path": "/v1/status"}, {"method": "GET", "path": "/v1/items/nobody"})
    assert (status["status"], missing["status"]) == (200, 404)
    first = inside.catalogue()
    assert first["items"] > 6_000
    with suite.killed("retriever"):
        pass
    assert inside.catalogue() == first


def test_connections_are_told_apart(suite: Suite, inside: Inside) -> None:
    port = suite.ports["retriever"]
    outcomes = inside.reach(f"127.0.0.1:{port}", "127.0.0.1:1", "nobody.invalid:80")
    assert [outcome.split(":")[0] for outcome in outcomes.values()] == ["connected", "refused", "unknown name"]
    with inside.listener() as address:
        until("the listener listens", lambda: inside.reach(address)[address] == "connected", timeout_s=20)


def test_the_retriever_killed_under_the_load_costs_no_answer(suite: Suite, inside: Inside) -> None:
    with inside.load() as load:
        with suite.killed("retriever"):
            threading.Event().wait(1)
        outcome = load.outcome()
    assert outcome.failures == []
    assert outcome.degraded > 0
    assert outcome.answered > 50


def test_the_load_tells_answers_with_5xx_from_broken_connections(suite: Suite, inside: Inside) -> None:
    with inside.load() as load:
        for service in ("retriever", "gateway"):
            suite.signal(service, signal.SIGKILL)
        (suite.folder / "gateway" / "popular.json").unlink()
        suite.start("gateway")  # with nothing to answer: 503
        try:
            until("a 5xx is told", lambda: load.report().server_errors, timeout_s=60)
        finally:
            suite.start("retriever")
            suite.wait_ready()
        outcome = load.report()
    assert outcome.server_errors
    assert set(outcome.failures) - set(outcome.server_errors), "connections broke when the gateway was killed"
    assert all(": 503: " in error for error in outcome.server_errors)
