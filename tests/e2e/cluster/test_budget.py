"""PodDisruptionBudgets hold: one pod of a service may go at a time, and a node can be drained under load."""

import pytest
from tests.e2e.cluster.installed import Installed
from tests.e2e.cluster.kubectl import Object
from tests.e2e.cluster.workloads import has_claim, names

pytestmark = pytest.mark.timeout(1800)

STATELESS = "encoder"


def test_one_pod_may_be_evicted_and_a_second_at_once_may_not(settled: Installed) -> None:
    first, second = names(settled.workloads.pods(STATELESS))
    with settled.inside.load() as load:
        assert settled.kubectl.evict(first)
        assert not settled.kubectl.evict(second)
        settled.workloads.wait_settled()
        assert first not in names(settled.workloads.pods(STATELESS))
        assert settled.kubectl.evict(second), "once the first is replaced the budget allows the second"
        settled.workloads.wait_settled()
        assert load.outcome().failures == []


def test_draining_a_node_moves_its_pods_and_fails_no_request(settled: Installed, schedulable_nodes: list[Object]) -> None:
    if len(schedulable_nodes) < 2:
        pytest.skip("the cluster has one node that takes pods; a drain has nowhere to move them")
    pods = settled.workloads.pods(STATELESS)
    assert not any(has_claim(pod) for pod in pods), "a pod with a claim may be tied to its node"
    node = pods[0]["spec"]["nodeName"]
    try:
        with settled.inside.load() as load:
            # Only this service: the gateway and the retriever of `dev` share the one node that their claims are on.
            settled.kubectl.drain(node, settled.workloads.selector(STATELESS))
            settled.workloads.wait_settled()
            assert node not in {pod["spec"]["nodeName"] for pod in settled.workloads.pods(STATELESS)}
            assert load.outcome().failures == []
    finally:
        settled.kubectl.uncordon(node)
