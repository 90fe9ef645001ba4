"""Read replicas of the retriever: they follow what the writer publishes, the gateway asks them, and the writer stays one."""

import importlib
import shutil
from pathlib import Path
from typing import Any

import helm_python as helm
import pytest
from tests.deploy.rendering import CHART, Object, container, merged, of_kind, pods, render

from gateway.settings import Settings as GatewaySettings
from retriever.settings import Settings

URL = "s3://books/catalogue"
READER, WRITER = "retriever-reader", "retriever"
TO_S3 = {"ports": [{"port": 443, "protocol": "TCP"}]}
TO_ROLES = {
    "ports": [{"port": 80, "protocol": "TCP"}],
    "to": [{"ipBlock": {"cidr": "169.254.170.23/32"}}, {"ipBlock": {"cidr": "fd00:ec2::23/128"}}],
}
"""Where the agent of EKS Pod Identity hands out credentials."""


def values(readers: Object | None = None, **more: Any) -> Object:
    """A publishing retriever with two readers, unless they are described otherwise."""
    writer = {"settings": {"publish_url": URL, "search_threads": 8}, "readers": {"replicas": 2} if readers is None else readers}
    return merged({"services": {"retriever": writer}}, more)


def told(found: tuple[Object, ...], component: str) -> dict[str, str]:
    return dict(of_kind(found, "ConfigMap")[component]["data"])


def components_with(kind: str, found: tuple[Object, ...]) -> set[str]:
    return set(of_kind(found, kind))


def test_readers_follow_what_the_writer_publishes_and_share_its_other_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for component, expected in ((WRITER, (URL, "")), (READER, ("", URL))):
        with monkeypatch.context() as environment:
            for name, value in told(render(values()), component).items():
                environment.setenv(name, value)
            settings = Settings()
        assert (settings.publish_url, settings.follow_url) == expected
        assert (settings.search_threads, settings.host, str(settings.state_dir)) == (8, "0.0.0.0", "/state")


def test_what_is_said_about_publishing_is_not_said_to_readers() -> None:
    publishing = {"services": {"retriever": {"settings": {"snapshot_after": 50, "snapshots_kept": 9}}}}
    found = render(merged(values(), publishing))
    assert not {"RETRIEVER_SNAPSHOT_AFTER", "RETRIEVER_SNAPSHOTS_KEPT", "RETRIEVER_PUBLISH_URL"} & told(found, READER).keys()
    assert told(found, WRITER)["RETRIEVER_SNAPSHOTS_KEPT"] == "9"


def test_the_writer_stays_one_with_its_volume_and_readers_have_none() -> None:
    found = render(values())
    assert of_kind(found, "StatefulSet")[WRITER]["spec"]["replicas"] == 1
    assert of_kind(found, "Deployment")[READER]["spec"]["replicas"] == 2
    volumes = {volume["name"]: volume for volume in dict(pods(found))[READER]["spec"]["volumes"]}
    assert volumes["state"] == {"name": "state", "emptyDir": {}}
    assert (
        of_kind(render({}), "StatefulSet")[WRITER]["spec"]["volumeClaimTemplates"]
        == (of_kind(found, "StatefulSet")[WRITER]["spec"]["volumeClaimTemplates"])
    )


@pytest.mark.parametrize("kind", ["Deployment", "Service", "ServiceAccount", "ConfigMap", "NetworkPolicy", "ServiceMonitor"])
def test_nothing_of_readers_is_made_unless_they_are_asked_for(kind: str) -> None:
    monitored = {"monitoring": {"serviceMonitor": {"enabled": True}}}
    assert READER in components_with(kind, render(merged(values(), monitored)))
    assert READER not in components_with(kind, render(merged(values(readers={}), monitored)))


def test_the_gateway_asks_the_readers_and_writes_to_the_writer() -> None:
    def urls(found: tuple[Object, ...]) -> tuple[str, str]:
        return GatewaySettings(retriever_url=told(found, "gateway")["GATEWAY_RETRIEVER_URL"]).retriever_urls

    assert urls(render(values())) == ("http://warmstart-retriever-reader:8003", "http://warmstart-retriever:8003")
    assert urls(render({})) == ("http://warmstart-retriever:8003", "http://warmstart-retriever:8003")
    for component in (READER, WRITER):
        selector = of_kind(render(values()), "Service")[component]["spec"]["selector"]
        chosen = {name for name, pod in pods(render(values())) if selector.items() <= pod["metadata"]["labels"].items()}
        assert chosen == {component}


def test_readers_run_the_image_of_the_retriever() -> None:
    digest = f"sha256:{'d' * 64}"
    found = dict(pods(render(values(image={"digests": {"retriever": digest}}))))
    assert {container(found[name])["image"] for name in (READER, WRITER)} == {f"warmstart/retriever@{digest}"}


def test_readers_are_spread_and_lose_one_at_a_time() -> None:
    found = render(values())
    spread = dict(pods(found))[READER]["spec"]["topologySpreadConstraints"]
    assert {one["topologyKey"] for one in spread} == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}
    assert of_kind(found, "PodDisruptionBudget")[READER]["spec"]["maxUnavailable"] == 1
    assert READER not in components_with("PodDisruptionBudget", render(values(readers={"replicas": 1})))


def test_readers_scale_and_the_writer_does_not() -> None:
    scaling = {"enabled": True, "minReplicas": 3, "metric": {"name": "retriever_requests_in_flight", "averageValue": "16"}}
    found = render(values(readers={"autoscaling": scaling}))
    autoscaler = of_kind(found, "HorizontalPodAutoscaler")
    assert autoscaler.keys() == {READER}
    assert autoscaler[READER]["spec"]["scaleTargetRef"]["name"] == "warmstart-retriever-reader"
    assert autoscaler[READER]["spec"]["minReplicas"] == 3
    assert [metric["type"] for metric in autoscaler[READER]["spec"]["metrics"]] == ["Resource", "Pods"]
    assert "replicas" not in of_kind(found, "Deployment")[READER]["spec"]


def test_writer_and_readers_have_roles_of_their_own() -> None:
    writer, reader = {"eks.amazonaws.com/role-arn": "writes"}, {"eks.amazonaws.com/role-arn": "reads"}
    found = render(
        merged(
            values(readers={"replicas": 1, "serviceAccount": {"annotations": reader}}),
            {"services": {"retriever": {"serviceAccount": {"annotations": writer}}}},
        )
    )
    accounts = of_kind(found, "ServiceAccount")
    assert (accounts[WRITER]["metadata"]["annotations"], accounts[READER]["metadata"]["annotations"]) == (writer, reader)
    for component in (WRITER, READER):
        assert dict(pods(found))[component]["spec"]["serviceAccountName"] == accounts[component]["metadata"]["name"]


def test_both_reach_object_storage_and_what_gives_them_a_role_and_others_do_not() -> None:
    policies = of_kind(render(values()), "NetworkPolicy")
    for component in (READER, WRITER):
        assert policies[component]["spec"]["egress"][:2] == [TO_S3, TO_ROLES]
    assert "egress" not in of_kind(render({}), "NetworkPolicy")[WRITER]["spec"]
    assert "egress" not in policies["encoder"]["spec"]


def test_a_folder_is_published_to_without_a_network() -> None:
    found = render({"services": {"retriever": {"settings": {"publish_url": "/state/published"}}}})
    assert "egress" not in of_kind(found, "NetworkPolicy")[WRITER]["spec"]


def test_storage_of_ones_own_is_reached_at_its_port_with_keys_from_a_secret() -> None:
    cluster = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "minio"}}}]
    storage = {"endpointUrl": "http://minio.minio:9000", "existingSecret": "bucket"}
    found = render(values(objectStorage=storage, networkPolicy={"objectStorageTo": cluster}))
    for component in (READER, WRITER):
        first, *_ = of_kind(found, "NetworkPolicy")[component]["spec"]["egress"]
        assert first == {"ports": [{"port": 9000, "protocol": "TCP"}], "to": cluster}
        assert TO_ROLES not in of_kind(found, "NetworkPolicy")[component]["spec"]["egress"]
        only = container(dict(pods(found))[component])
        assert {"name": "AWS_ENDPOINT_URL_S3", "value": "http://minio.minio:9000"} in only["env"]
        secret, settings = only["envFrom"]
        assert secret == {"secretRef": {"name": "bucket"}}
        assert settings == {"configMapRef": {"name": f"warmstart-{component}"}}, "the last one wins"
    assert not [component for component, pod in pods(found) if component not in (READER, WRITER) and "secretRef" in str(pod)]


def test_a_large_catalogue_has_minutes_to_start_and_ends_only_after_it_was_published() -> None:
    publisher = importlib.import_module("retriever.publisher")
    for component in (READER, WRITER):
        pod = dict(pods(render(values())))[component]
        probe = container(pod)["startupProbe"]
        assert probe["periodSeconds"] * probe["failureThreshold"] >= 900
        data = told(render(values()), component)
        drained = float(data["RETRIEVER_DRAIN_DELAY_S"]) + float(data["RETRIEVER_DRAIN_TIMEOUT_S"])
        assert pod["spec"]["terminationGracePeriodSeconds"] >= drained + publisher.CLOSE_S + 15


def test_a_changed_bucket_replaces_writer_and_readers_and_nobody_else() -> None:
    def sums(found: tuple[Object, ...]) -> dict[str, str]:
        return {name: pod["metadata"]["annotations"]["checksum/config"] for name, pod in pods(found) if "configMapRef" in str(pod)}

    before = sums(render(values()))
    after = sums(render(merged(values(), {"services": {"retriever": {"settings": {"publish_url": "s3://other"}}}})))
    assert {name for name in before if before[name] != after[name]} == {READER, WRITER}


def test_readers_without_storage_are_refused_when_the_schema_is_skipped(tmp_path: Path) -> None:
    unchecked = shutil.copytree(CHART, tmp_path / "warmstart")
    (unchecked / "values.schema.json").unlink()
    with helm.Chart.load(unchecked) as chart, pytest.raises(helm.HelmRenderError, match="a URL of object storage"):
        chart.render({"services": {"retriever": {"readers": {"replicas": 1}}}}, name="warmstart")
