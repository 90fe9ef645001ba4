"""The pods that the chart renders run as they say, with the images that were built: what a cluster would find, short of a cluster."""

from collections.abc import Iterator
from typing import NamedTuple

import httpx2
import pytest
from tests.composed import docker
from tests.deploy.rendering import from_profile, merged, render
from tests.images.kubelet import Container, Kubelet, pod_template

SERVICES = ("retriever", "encoder", "expander", "gateway")
PORTS = {"gateway": 8000, "encoder": 8001, "expander": 8002, "retriever": 8003}


class Release(NamedTuple):
    """The `dev` profile: its kubelet, and the started replicas of each service."""

    kubelet: Kubelet
    replicas: dict[str, list[Container]]

    def gateway(self, replica: int = 0) -> httpx2.Client:
        return httpx2.Client(base_url=self.replicas["gateway"][replica].url(8000), timeout=60)


@pytest.fixture(scope="module")
def release(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
    """Started in the order of the map, filled by the chart's own bootstrap Job."""
    image = {"registry": request.config.getoption("--image-prefix"), "tag": request.config.getoption("--image-tag")}
    objects = render(merged(from_profile("dev"), {"image": image}))
    kubelet = Kubelet(objects, "warmstart-chart", tmp_path_factory.mktemp("chart"))
    try:
        replicas: dict[str, list[Container]] = {}
        for service in SERVICES:
            workload = kubelet.workload(service, ("Deployment", "StatefulSet"))
            replicas[service] = [kubelet.start(workload, replica) for replica in range(workload["spec"]["replicas"])]
        for containers in replicas.values():
            for container in containers:
                container.wait()
        kubelet.complete(kubelet.workload("bootstrap", ("Job",)), timeout_s=420)
        yield Release(kubelet, replicas)
    finally:
        kubelet.close()


@pytest.mark.parametrize("service", SERVICES)
def test_every_probe_of_a_started_pod_passes(release: Release, service: str) -> None:
    for container in release.replicas[service]:
        assert [probe for probe in ("startupProbe", "readinessProbe", "livenessProbe") if not container.passes(probe)] == []


def test_the_bootstrap_job_filled_the_catalogue_and_taught_every_source(release: Release) -> None:
    with release.gateway() as gateway:
        answer = gateway.post("/v1/recommendations", json={"interests": ["dystopia"], "liked_items": ["1"], "deadline_ms": 20_000}).json()
    assert answer["items"]
    assert answer["degraded"] == []
    assert {topic["source"] for topic in answer["topics"]} == {"cooccurrence"}
    with release.gateway() as gateway:
        rows = {space["name"]: space["rows"] for space in gateway.get("/v1/spaces").json()}
    assert min(rows["content-1"], rows["collaborative"], rows["popular"]) > 1_000


def test_the_helm_test_pod_passes(release: Release) -> None:
    assert release.kubelet.complete(release.kubelet.workload("test", ("Pod",)))


def test_the_refresh_job_runs_again_on_a_filled_catalogue(release: Release) -> None:
    release.kubelet.complete(release.kubelet.workload("refresh", ("CronJob",)))
    with release.gateway() as gateway:
        assert gateway.post("/v1/recommendations", json={"liked_items": ["7"]}).json()["items"]


def test_gateways_that_share_a_claim_know_the_same_users(release: Release) -> None:
    with release.gateway(0) as one, release.gateway(1) as other:
        assert one.post("/v1/events", json={"events": [{"user_id": "shared", "item_id": "7", "type": "like"}]}).json()["stored"] == 1
        assert other.get("/v1/users/shared").json()["event_count"] == 1
        assert other.delete("/v1/users/shared").status_code == 204
        assert one.get("/v1/users/shared").status_code == 404


@pytest.mark.parametrize("service", SERVICES)
def test_the_pod_is_what_its_manifest_says(release: Release, service: str) -> None:
    container = release.replicas[service][0].name
    workload = release.kubelet.workload(service, ("Deployment", "StatefulSet"))
    assert pod_template(workload)["spec"]["securityContext"]["runAsUser"] == 10001
    look = "import os; print(os.getuid(), os.access('/', os.W_OK), os.access('/state', os.W_OK), os.access('/tmp', os.W_OK))"
    assert docker("exec", container, "python3", "-c", look) == "10001 False True True"


def test_a_retriever_that_is_replaced_keeps_every_item(release: Release) -> None:
    with release.gateway() as gateway:
        before = gateway.get("/v1/status").json()
        workload = release.kubelet.workload("retriever", ("StatefulSet",))
        assert release.replicas["retriever"][0].stop() == 0
        docker("rm", release.replicas["retriever"][0].name)
        release.replicas["retriever"][0] = release.kubelet.start(workload)
        release.replicas["retriever"][0].wait()
        assert gateway.get("/v1/status").json()["items"] == before["items"] > 0
