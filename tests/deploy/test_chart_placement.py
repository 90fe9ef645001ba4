"""Claims on where pods go: those on one volume together, the others apart, models on the smallest node that runs them."""

from typing import Any

import pytest
from tests.deploy.rendering import CASES, NAME, Object, container, merged, objects, of_kind, pods, render, values_of

HOST = "kubernetes.io/hostname"
TYPE = "node.kubernetes.io/instance-type"


def mounts_artefacts(pod: Object) -> bool:
    return any(mount["mountPath"] == "/artefacts" for mount in container(pod)["volumeMounts"])


def terms(pod: Object) -> list[Any]:
    """What must be on the same node."""
    affinity: list[Any] = pod["spec"].get("affinity", {}).get("podAffinity", {}).get("requiredDuringSchedulingIgnoredDuringExecution", [])
    return affinity


def selects(term: Object, pod: Object) -> bool:
    chosen: bool = term["labelSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    return term["topologyKey"] == HOST and chosen


def on_one_volume(case: str, found: tuple[Object, ...]) -> dict[str, Object]:
    return {component: pod for component, pod in pods(found) if mounts_artefacts(pod)}


@pytest.mark.parametrize("case", CASES)
def test_pods_that_mount_a_volume_of_one_node_are_on_one_node(case: str) -> None:
    found = objects(case)
    (claim,) = [one for one in found if one["kind"] == "PersistentVolumeClaim" and one["metadata"]["name"] == f"{NAME}-artefacts"]
    mounting = on_one_volume(case, found)
    assert {"expander", "refresh"} <= mounting.keys()
    for pod in mounting.values():
        if claim["spec"]["accessModes"] == ["ReadWriteMany"]:
            assert terms(pod) == []
        else:
            (term,) = terms(pod)
            assert all(selects(term, other) for other in mounting.values()), "itself too, or the first of them would never be placed"


@pytest.mark.parametrize("case", CASES)
def test_what_must_be_together_is_not_told_to_spread(case: str) -> None:
    for component, pod in pods(objects(case)):
        assert not (terms(pod) and "topologySpreadConstraints" in pod["spec"]), component


def test_a_service_that_reads_a_file_of_the_artefacts_goes_where_they_are() -> None:
    values = {"services": {"encoder": {"settings": {"model": "/artefacts/models/e5"}}}}
    found = render(values)
    mounting = on_one_volume("default", found)
    assert "encoder" in mounting
    assert all(selects(terms(mounting["encoder"])[0], pod) for pod in mounting.values())
    assert "encoder" not in of_kind(found, "PodDisruptionBudget"), "a drain would wait for a pod that can not start elsewhere"


def test_releases_on_one_node_volume_each_do_not_follow_each_other() -> None:
    first, second = (dict(pods(render({}, name)))["expander"] for name in ("a", "b"))
    assert not selects(terms(first)[0], second)


def test_vllm_prefers_the_smallest_node_that_runs_it() -> None:
    found = dict(pods(objects("eks-trn1")))
    node = found["llm"]["spec"]["affinity"]["nodeAffinity"]
    (preferred,) = node["preferredDuringSchedulingIgnoredDuringExecution"]
    assert preferred["preference"]["matchExpressions"] == [{"key": TYPE, "operator": "In", "values": ["trn1.2xlarge"]}]
    (allowed,) = node["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert allowed["matchExpressions"][0]["values"][0] == "trn1.2xlarge"


def test_one_replica_of_the_retriever_is_replaced_even_if_it_never_got_ready() -> None:
    assert of_kind(objects("dev"), "StatefulSet")["retriever"]["spec"]["podManagementPolicy"] == "Parallel"


def test_an_existing_claim_that_many_nodes_can_mount_binds_nobody() -> None:
    values = merged(values_of("dev"), {"artefacts": {"existingClaim": "models", "accessMode": "ReadWriteMany"}})
    assert all(terms(pod) == [] for component, pod in pods(render(values)) if component != "gateway")
