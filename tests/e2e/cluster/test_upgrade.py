"""A rolling upgrade of all services, and the rollback, under load: every pod is replaced and no request fails."""

import secrets

import pytest
from tests.e2e.cluster.installed import Installed
from tests.e2e.cluster.release import merged
from tests.e2e.cluster.workloads import SERVICES, Workloads

pytestmark = pytest.mark.timeout(3600)


def pods_of(workloads: Workloads) -> dict[str, str]:
    """The service of every pod's uid."""
    return {pod["metadata"]["uid"]: pod["metadata"]["labels"]["app.kubernetes.io/component"] for pod in workloads.pods()}


def test_an_upgrade_and_its_rollback_replace_every_pod_and_fail_no_request(settled: Installed) -> None:
    annotated = {service: {"podAnnotations": {"warmstart-tests/upgrade": secrets.token_hex(4)}} for service in SERVICES}
    first = pods_of(settled.workloads)
    with settled.inside.load() as load:
        settled.release.upgrade(merged(settled.values, {"services": annotated}))
        settled.workloads.wait_settled()
        second = pods_of(settled.workloads)
        assert load.outcome().failures == []
        settled.release.rollback()
        settled.workloads.wait_settled()
        third = pods_of(settled.workloads)
        load.wait_answered(50)
        outcome = load.outcome()
    assert outcome.failures == []
    assert set(first.values()) == set(second.values()) == set(third.values()) == set(SERVICES)
    assert not first.keys() & second.keys()
    assert not second.keys() & third.keys()
