"""The encoder's HorizontalPodAutoscaler adds pods under load, where the cluster has resource metrics."""

import pytest
from tests.e2e.cluster.installed import Installed
from tests.e2e.cluster.kubectl import until
from tests.e2e.cluster.release import merged

pytestmark = pytest.mark.timeout(1800)

METRICS = "/apis/metrics.k8s.io/v1beta1/nodes"
AUTOSCALING = {"enabled": True, "minReplicas": 1, "maxReplicas": 3, "cpuPercent": 5}


def test_the_encoder_scales_out_under_load(settled: Installed) -> None:
    if not settled.kubectl.serves(METRICS):
        pytest.skip("the cluster serves no metrics.k8s.io, so an autoscaler has nothing to go by")
    settled.release.upgrade(merged(settled.values, {"services": {"encoder": {"autoscaling": AUTOSCALING}}}))
    try:
        name = settled.workloads.workload("encoder")["metadata"]["name"]
        started = settled.kubectl.get("deployment", name)["spec"]["replicas"]
        assert started < AUTOSCALING["maxReplicas"]
        with settled.inside.load() as load:
            scaled = until(
                "the autoscaler adds an encoder",
                lambda: settled.kubectl.get("deployment", name)["status"].get("readyReplicas", 0) > started,
                timeout_s=420,
                pause_s=5,
            )
            assert scaled
            assert load.outcome().failures == []
    finally:
        settled.release.upgrade(settled.values)
