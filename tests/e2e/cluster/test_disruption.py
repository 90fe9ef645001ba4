"""Pods that are deleted or killed under load cost no answer, and the retriever comes back with everything."""

import pytest
from tests.e2e.cluster.installed import Installed
from tests.e2e.cluster.workloads import SERVICES, names

pytestmark = pytest.mark.timeout(1800)


@pytest.mark.parametrize("service", SERVICES)
def test_deleting_a_pod_under_load_fails_no_request(settled: Installed, service: str) -> None:
    victim = names(settled.workloads.pods(service))[0]
    with settled.inside.load() as load:
        settled.kubectl.delete("pod", victim)
        settled.workloads.wait_settled()
        load.wait_answered(50)
        assert load.outcome().failures == []


@pytest.mark.parametrize("service", SERVICES)
def test_killing_a_pod_without_time_to_drain_causes_no_5xx(settled: Installed, service: str) -> None:
    victim = names(settled.workloads.pods(service))[0]
    with settled.inside.load() as load:
        # One second, not --force: a forced delete of the retriever's pod could let two writers run on one claim.
        settled.kubectl.delete("pod", victim, grace_s=1)
        settled.workloads.wait_settled()
        load.wait_answered(50)
        outcome = load.outcome()
    assert outcome.server_errors == []
    if service != "gateway":  # a connection to the very pod that was killed breaks, whatever that pod does
        assert outcome.failures == []


@pytest.mark.parametrize("grace_s", [None, 1])
def test_the_retriever_keeps_every_item_over_a_restart(settled: Installed, grace_s: int | None) -> None:
    before = settled.inside.catalogue()
    assert before["items"] > 0
    (pod,) = settled.workloads.pods("retriever")
    settled.kubectl.delete("pod", pod["metadata"]["name"], grace_s=grace_s)
    settled.workloads.wait_settled()
    assert settled.workloads.pods("retriever")[0]["metadata"]["uid"] != pod["metadata"]["uid"]
    assert settled.inside.catalogue() == before
