"""The chart as a whole: it lints, renders, is what the API server takes, and is documented."""

import copy
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import helm_python as helm
import jsonschema
import kubernetes_validate
import pytest
import yaml
from tests.deploy.rendering import CASES, CHART, NAME, NAMESPACE, ROOT, SHARED, Object, asked, merged, objects, pods, render, values_of

ELSEWHERE = {"keda.sh/v1alpha1", "monitoring.coreos.com/v1", "gateway.networking.k8s.io/v1"}
CRDS = {"ScaledObject": "keda/keda.sh_scaledobjects.yaml"} | {
    kind: f"prometheus-operator/monitoring.coreos.com_{kind.lower()}s.yaml" for kind in ("ServiceMonitor", "PrometheusRule")
}
NOWHERE = "clusters: [{name: none, cluster: {server: 'http://127.0.0.1:9'}}]"
KUBECONFIG = f"apiVersion: v1\nkind: Config\n{NOWHERE}\ncontexts: [{{name: none, context: {{cluster: none}}}}]\ncurrent-context: none\n"


@pytest.mark.parametrize("case", CASES)
def test_a_strict_lint_finds_nothing(case: str) -> None:
    report = helm.lint(CHART, values_of(case), strict=True, kube_version="v1.30.0", namespace=NAMESPACE)
    assert [message for message in report["messages"] if message["severity"] > 1] == []


@pytest.mark.parametrize("case", CASES)
def test_helm_itself_would_install_it(case: str) -> None:
    with helm.Config(kubeconfig_content=KUBECONFIG, storage_driver="memory", namespace=NAMESPACE) as config:
        release = config.install(CHART, NAME, values_of(case), dry_run="client", namespace=NAMESPACE)
    hooks = [one for one in objects(case) if "helm.sh/hook" in one["metadata"].get("annotations", {})]
    assert release["manifest"].count("\nkind: ") == len(objects(case)) - len(hooks)
    assert f"helm test {NAME} -n {NAMESPACE}" in release["notes"]


@pytest.mark.parametrize("version", ["1.30", kubernetes_validate.latest_version()])
@pytest.mark.parametrize("case", CASES)
def test_every_object_is_one_that_kubernetes_takes(case: str, version: str) -> None:
    for one in objects(case):
        if one["apiVersion"] not in ELSEWHERE:
            kubernetes_validate.validate(one, version, strict=True)


@lru_cache
def _described(api_version: str) -> dict[str, Any]:
    """The components of the published OpenAPI of a group, with unknown fields refused."""
    name = f"apis_{api_version.replace('/', '_')}" if "/" in api_version else f"api_{api_version}"
    components = json.loads((SHARED / "kubernetes-openapi" / f"{name}.json").read_text())["components"]
    for schema in components["schemas"].values():
        if "properties" in schema:
            schema["additionalProperties"] = False
    return {"components": components}


@pytest.mark.skipif(not (SHARED / "kubernetes-openapi").exists(), reason="the published OpenAPI of Kubernetes is not beside the repository")
@pytest.mark.parametrize("case", CASES)
def test_every_object_is_as_the_published_openapi_says(case: str) -> None:
    for one in objects(case):
        if one["apiVersion"] in ELSEWHERE:
            continue
        described = _described(one["apiVersion"])
        group, _, version = one["apiVersion"].rpartition("/")
        meant = {"group": group, "version": version, "kind": one["kind"]}
        (name,) = [
            name
            for name, schema in described["components"]["schemas"].items()
            if meant in schema.get("x-kubernetes-group-version-kind", [])
        ]
        jsonschema.Draft202012Validator({"$ref": f"#/components/schemas/{name}", **described}).validate(one)


def _closed(schema: Any) -> Any:
    """A CRD's schema with unknown fields refused, where it does not say that it keeps them."""
    if isinstance(schema, list):
        return [_closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in schema.items()}
    if isinstance(closed.get("properties"), dict) and not closed.get("x-kubernetes-preserve-unknown-fields") and "type" in closed:
        closed.setdefault("additionalProperties", False)
    return closed


@pytest.mark.skipif(not (SHARED / "crds").exists(), reason="the CRDs of KEDA and the Prometheus operator are not beside the repository")
def test_objects_of_other_operators_are_as_their_crds_say() -> None:
    seen = set()
    for one in objects("everything"):
        if one["kind"] not in CRDS:
            continue
        crd = yaml.safe_load((SHARED / "crds" / CRDS[one["kind"]]).read_text())
        (schema,) = [v["schema"]["openAPIV3Schema"] for v in crd["spec"]["versions"] if v["name"] == one["apiVersion"].split("/")[1]]
        closed = _closed(copy.deepcopy(schema))
        closed["properties"]["metadata"] = {"type": "object"}
        jsonschema.Draft202012Validator(closed).validate(one)
        seen.add(one["kind"])
    assert seen == set(CRDS)


@pytest.mark.parametrize("case", CASES)
def test_names_are_unique_and_fit_a_label(case: str) -> None:
    names = [(one["kind"], one["metadata"]["name"]) for one in objects(case)]
    assert len(names) == len(set(names))
    assert max(len(name) for _, name in names) <= 63
    assert all(len(name) <= 52 for kind, name in names if kind == "CronJob")


@pytest.mark.parametrize("case", CASES)
def test_every_object_says_whose_it_is(case: str) -> None:
    for one in objects(case):
        labels = one["metadata"]["labels"]
        assert {labels["app.kubernetes.io/name"], labels["app.kubernetes.io/part-of"]} == {"warmstart"}
        assert labels["app.kubernetes.io/instance"] == NAME
        assert labels["app.kubernetes.io/managed-by"] == "Helm"
        assert {"app.kubernetes.io/version", "helm.sh/chart"} <= set(labels)
        assert "app.kubernetes.io/component" in labels or one["apiVersion"] in ELSEWHERE


@pytest.mark.parametrize("tag", ["a" * 90, "2026.11_"])
def test_a_tag_that_is_no_label_still_names_the_image(tag: str) -> None:
    for one in render({"image": {"tag": tag}}):
        assert re.fullmatch(r"[A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?", one["metadata"]["labels"]["app.kubernetes.io/version"])
    assert all(f":{tag}" in str(pod) for _, pod in pods(render({"image": {"tag": tag}})))


def test_names_that_yaml_would_read_as_numbers_stay_names() -> None:
    secrets = {"image": {"pullSecrets": ["1"]}, "postgresql": {"existingSecret": "2e3", "key": "on"}, "artefacts": {"storageClass": "4"}}
    found = [one for one in render(merged(values_of("everything"), secrets), "123") if one["apiVersion"] not in ELSEWHERE]
    for one in found:
        kubernetes_validate.validate(one, "1.30", strict=True)
    assert {one["metadata"]["labels"]["app.kubernetes.io/instance"] for one in found} == {"123"}


def test_a_helm_test_asks_for_a_recommendation_through_the_service() -> None:
    for case in CASES:
        (test,) = [one for one in objects(case) if one["metadata"].get("annotations", {}).get("helm.sh/hook") == "test"]
        (pod,) = dict(pods((test,))).values()
        only = pod["spec"]["containers"][0]
        assert only["command"] == ["python", "-m", "pipelines", "check"]
        assert f"--gateway=http://{NAME}-gateway:8000" in only["args"]


def test_schema_and_readme_are_what_make_chart_writes() -> None:
    checked = subprocess.run(
        [sys.executable, ROOT / "deploy" / "helm" / "write_chart.py", "--check"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr


def _keys(values: Object, path: str = "") -> Iterator[str]:
    for key, value in values.items():
        yield f"{path}{key}"
        if isinstance(value, dict):
            yield from _keys(value, f"{path}{key}.")


def test_every_key_of_the_values_is_explained() -> None:
    readme = (CHART / "README.md").read_text()
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    told = {line.split("`")[1] for line in readme.splitlines() if line.startswith("| `")}
    leaves = [key for key in _keys(values) if not any(key == other or key.startswith(f"{other}.") for other in told)]
    assert [key for key in leaves if not any(other.startswith(f"{key}.") for other in told)] == []


def test_values_are_at_most_250_lines_and_templates_at_most_60() -> None:
    assert len((CHART / "values.yaml").read_text().splitlines()) <= 250
    long = {path.name: lines for path in _templates() if (lines := len(path.read_text().splitlines())) > 60}
    assert long == {}


def _templates() -> Iterator[Path]:
    return (path for path in (CHART / "templates").rglob("*") if path.is_file())


def test_dev_asks_for_nothing_and_trainium_for_at_most_five_values() -> None:
    assert asked("dev") == []
    assert 0 < len(asked("eks-trn1")) <= 5
    assert 0 < len(asked("eks-trn2")) <= 5
