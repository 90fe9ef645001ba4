"""An upgrade neither fails nor loses anything: values stay valid, and what Kubernetes does not let change does not."""

import json
from typing import Any

import pytest
import yaml
from tests.deploy.rendering import CHART, ROOT, Object, container, merged, of_kind, pods, render, values_of

FIXTURES = ROOT / "tests" / "deploy" / "fixtures"
PREVIOUS = yaml.safe_load((FIXTURES / "values-0.3.0.yaml").read_text())
BOOTSTRAP: Object = {"bootstrap": {"enabled": True}}


def immutable(found: tuple[Object, ...]) -> dict[str, Any]:
    """What the API server refuses to change, by kind and name; Jobs are not here, because theirs is all of it."""
    fields: dict[str, tuple[str, ...]] = {
        "Deployment": ("selector",),
        "StatefulSet": ("selector", "serviceName", "podManagementPolicy", "volumeClaimTemplates"),
        "PersistentVolumeClaim": ("accessModes", "storageClassName", "resources"),
    }
    return {
        f"{one['kind']}/{one['metadata']['name']}": {field: one["spec"][field] for field in fields[one["kind"]]}
        for one in found
        if one["kind"] in fields
    }


def test_the_values_of_the_previous_release_render_and_change_nothing_that_can_not_change() -> None:
    found = immutable(render(PREVIOUS))
    assert found == json.loads((FIXTURES / "immutable-0.3.0.json").read_text())


def test_the_previous_values_use_every_section() -> None:
    known = yaml.safe_load((CHART / "values.yaml").read_text())
    assert set(PREVIOUS) >= set(known) - {"fullnameOverride", "httpRoute", "pipelines", "objectStorage", "milvus", "redis"}


@pytest.mark.parametrize(
    "change",
    [
        {"image": {"tag": "0.2.0"}},
        {"image": {"digests": {"pipelines": f"sha256:{'c' * 64}"}}},
        {"pipelines": {"resources": {"limits": {"memory": "8Gi"}}}},
        {"bootstrap": {"source": "/artefacts/import"}},
        {"artefacts": {"existingClaim": "models"}},
    ],
    ids=["tag", "digest", "resources", "source", "claim"],
)
def test_a_job_whose_pod_changes_gets_another_name(change: Object) -> None:
    before, after = (of_kind(render(merged(BOOTSTRAP, values)), "Job")["bootstrap"] for values in ({}, change))
    assert before["spec"]["template"] != after["spec"]["template"]
    assert before["metadata"]["name"] != after["metadata"]["name"]


@pytest.mark.parametrize(
    "change", [{"image": {"tag": "0.2.0"}}, {"llm": {"maxNumSeqs": 4}}, {"llm": {"compile": {"resources": {"limits": {"memory": "9Gi"}}}}}]
)
def test_a_compile_job_whose_pod_changes_gets_another_name(change: Object) -> None:
    values = values_of("eks-trn1")
    before, after = (of_kind(render(chosen), "Job")["model-compile"]["metadata"]["name"] for chosen in (values, merged(values, change)))
    assert before != after


def test_a_job_whose_pod_stays_keeps_its_name() -> None:
    names = {
        of_kind(render(merged(BOOTSTRAP, {"services": {"gateway": {"replicas": n}}})), "Job")["bootstrap"]["metadata"]["name"]
        for n in (2, 3)
    }
    assert len(names) == 1


def test_no_job_is_a_hook_that_an_install_or_an_upgrade_would_wait_for() -> None:
    for one in render(merged(values_of("eks-trn1"), BOOTSTRAP)):
        hook = one["metadata"].get("annotations", {}).get("helm.sh/hook", "test")
        assert hook == "test", one["metadata"]["name"]


def test_releases_with_long_names_do_not_share_objects() -> None:
    first, second = (
        {one["metadata"]["name"] for one in render(BOOTSTRAP, f"{'recommendations-for-the-shop' * 1}-{end}")} for end in ("a", "b")
    )
    assert not first & second
    assert max(len(name) for name in first | second) <= 63


def test_moving_profiles_to_postgresql_leaves_the_sqlite_file_where_it_is() -> None:
    claims = {one["metadata"]["name"]: one for one in render({}) if one["kind"] == "PersistentVolumeClaim"}
    assert claims["warmstart-gateway"]["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert "warmstart-gateway" not in {
        one["metadata"]["name"] for one in render({"postgresql": {"existingSecret": "p"}}) if one["kind"] == "PersistentVolumeClaim"
    }


def test_the_bootstrap_job_asks_for_what_the_command_line_takes() -> None:
    from pipelines.__main__ import _parser

    for values, job in ((BOOTSTRAP, "bootstrap"), ({}, "refresh"), ({}, "test")):
        only = container(dict(pods(render(values)))[job])
        assert only["command"][:3] == ["python", "-m", "pipelines"]
        asked = _parser().parse_args([only["command"][3], *only["args"]])
        assert asked.gateway == "http://warmstart-gateway:8000"
