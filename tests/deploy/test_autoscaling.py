"""Who scales on what, how fast up and how slowly down, and on metrics that exist."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.deploy import series
from tests.deploy.promql import named
from tests.deploy.rendering import CASES, NAME, NAMESPACE, ROOT, Object, merged, objects, of_kind, render, values_of

PROFILES = ("eks-trn1", "eks-trn2", "gpu")
METRICS = {
    "gateway": "gateway_requests_in_flight",
    "encoder": "encoder_queued_tokens",
    "expander": "expander_llm_permits_in_use",
}
"""What docs/monitoring.md recommends to scale on, besides CPU."""


def on_metrics(profile: str) -> tuple[Object, ...]:
    scaling = {service: {"autoscaling": {"metric": {"name": name, "averageValue": "32"}}} for service, name in METRICS.items()}
    return render(merged(values_of(profile), {"services": scaling}))


def scaled(**autoscaling: Any) -> Object:
    asked = {"llm": {"autoscaling": {"enabled": True, "prometheusUrl": "http://prometheus.monitoring:9090", **autoscaling}}}
    spec: Object = of_kind(render(merged(values_of("eks-trn1"), asked)), "ScaledObject")["llm"]["spec"]
    return spec


@pytest.mark.parametrize("profile", PROFILES)
def test_on_a_cluster_all_but_the_retriever_scale(profile: str) -> None:
    assert of_kind(objects(profile), "HorizontalPodAutoscaler").keys() == {"gateway", "encoder", "expander"}


@pytest.mark.parametrize("case", CASES)
def test_an_autoscaler_targets_a_deployment_that_leaves_the_replicas_to_it(case: str) -> None:
    found = objects(case)
    deployments = {one["metadata"]["name"]: one for one in found if one["kind"] == "Deployment"}
    for one in found:
        if one["kind"] in ("HorizontalPodAutoscaler", "ScaledObject"):
            target = one["spec"]["scaleTargetRef"]
            assert (target["apiVersion"], target["kind"]) == ("apps/v1", "Deployment")
            assert "replicas" not in deployments[target["name"]]["spec"]


@pytest.mark.parametrize("profile", PROFILES)
def test_every_scaled_container_requests_cpu_because_the_share_is_of_the_request(profile: str) -> None:
    found = objects(profile)
    for component in of_kind(found, "HorizontalPodAutoscaler"):
        (container,) = of_kind(found, "Deployment")[component]["spec"]["template"]["spec"]["containers"]
        assert container["resources"]["requests"]["cpu"]


@pytest.mark.parametrize("profile", PROFILES)
def test_up_comes_quicker_than_down(profile: str) -> None:
    for one in of_kind(objects(profile), "HorizontalPodAutoscaler").values():
        behaviour = one["spec"]["behavior"]
        assert behaviour["scaleUp"]["stabilizationWindowSeconds"] == 0
        assert behaviour["scaleDown"]["stabilizationWindowSeconds"] >= 300
        assert [policy["type"] for policy in behaviour["scaleDown"]["policies"]] == ["Pods"]


def test_a_custom_metric_joins_the_cpu() -> None:
    for component, one in of_kind(on_metrics("gpu"), "HorizontalPodAutoscaler").items():
        cpu, custom = one["spec"]["metrics"]
        assert cpu["resource"]["target"] == {"type": "Utilization", "averageUtilization": 70}
        assert custom["pods"] == {"metric": {"name": METRICS[component]}, "target": {"type": "AverageValue", "averageValue": "32"}}


@pytest.mark.parametrize("case", CASES)
def test_a_custom_metric_is_a_gauge_of_the_service_that_it_scales(case: str) -> None:
    shipped = [(one["metadata"]["labels"]["app.kubernetes.io/component"], one) for one in objects(case)]
    asked = [
        (component, metric["pods"]["metric"]["name"])
        for component, one in shipped
        if one["kind"] == "HorizontalPodAutoscaler"
        for metric in one["spec"]["metrics"]
        if metric["type"] == "Pods"
    ]
    for component, name in [*asked, *METRICS.items()]:
        assert series.exposed(component)[name][0] == "gauge"


def test_the_metrics_that_the_documentation_names_exist() -> None:
    text = (ROOT / "docs" / "monitoring.md").read_text()
    known = series.known()
    written = set(re.findall(r"`((?:gateway|encoder|expander|retriever)_[a-z_]+|vllm:[a-z_]+)`", text))
    assert set(METRICS.values()) <= written
    assert [name for name in written if not any(one == name or one.startswith(f"{name}_") for one in known)] == []


def test_the_rules_for_an_adapter_serve_each_metric_that_is_recommended_once_and_ask_for_labels_that_exist() -> None:
    (text,) = re.findall(r"```yaml\n(rules:.*?)```", (ROOT / "docs" / "monitoring.md").read_text(), re.DOTALL)
    rules, known = yaml.safe_load(text)["rules"]["custom"], series.known()
    served: list[str] = []
    for rule in rules:
        own = [name for name in known if name in re.split(r"\W+", rule["seriesQuery"])]
        query = rule["metricsQuery"].replace("<<.GroupBy>>", "pod").replace("<<.LabelMatchers>>", 'namespace="shop"')
        for name in own:
            for _, matchers in (*named(rule["seriesQuery"]).series, *named(query.replace("<<.Series>>", name)).series):
                assert {matcher.label for matcher in matchers} <= known[name] | {"__name__"}
        served += own
    assert len(served) == len(set(served))
    assert set(METRICS.values()) <= set(served)


def test_vllm_scales_on_what_runs_and_what_waits_of_its_model_in_this_namespace() -> None:
    (trigger,) = scaled()["triggers"]
    asked = dict(named(trigger["metadata"]["query"]).series)
    assert asked.keys() == {"vllm:num_requests_running", "vllm:num_requests_waiting", "up"}
    model = values_of("eks-trn1")["llm"]["model"]["name"]
    for name, matchers in asked.items():
        said = {matcher.label: matcher.value for matcher in matchers}
        assert said.keys() <= series.known()[name]
        assert (said["namespace"], said["job"]) == (NAMESPACE, f"{NAME}-llm")
        assert name == "up" or said["model_name"] == model
    assert trigger["metadata"]["threshold"] == "8"


def test_vllm_is_served_under_the_name_that_it_scales_by() -> None:
    found = objects("everything")
    (container,) = of_kind(found, "Deployment")["llm"]["spec"]["template"]["spec"]["containers"]
    words = [*container.get("command", []), *container.get("args", [])]
    model = values_of("everything")["llm"]["model"]["name"]
    assert any(model in word for word in words)
    assert f'model_name="{model}"' in of_kind(found, "ScaledObject")["llm"]["spec"]["triggers"][0]["metadata"]["query"]


def test_vllm_never_scales_to_zero_and_comes_down_slowly() -> None:
    spec = scaled(cooldownSeconds=1200)
    assert spec["minReplicaCount"] >= 1
    down = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]
    assert down["stabilizationWindowSeconds"] == 1200
    assert down["policies"] == [{"type": "Pods", "value": 1, "periodSeconds": 300}]


def test_without_prometheus_vllm_keeps_what_runs_or_the_fallback_which_is_within_its_bounds() -> None:
    assert scaled(fallbackReplicas=2)["fallback"]["replicas"] == 2
    spec = scaled(fallbackReplicas=9, maxReplicas=4)
    assert spec["fallback"] == {"failureThreshold": 12, "replicas": 4, "behavior": "currentReplicasIfHigher"}
    (trigger,) = spec["triggers"]
    assert trigger["metricType"] == "AverageValue"  # the type that KEDA's fallback works with in every version
    assert trigger["metadata"]["ignoreNullValues"] == "false"


def test_keda_asks_a_prometheus_that_wants_to_know_who_asks() -> None:
    assert "authenticationRef" not in scaled()["triggers"][0]
    (trigger,) = scaled(authentication={"name": "prometheus", "metadata": {"authModes": "bearer"}})["triggers"]
    assert trigger["authenticationRef"] == {"name": "prometheus"}
    assert trigger["metadata"].items() >= {"authModes": "bearer", "threshold": "8"}.items()


def answers(promtool: str, folder: Path, series_now: dict[str, str], expected: str) -> subprocess.CompletedProcess[str]:
    """Runs the query of the ScaledObject in promtool over the given series."""
    (trigger,) = scaled()["triggers"]
    check = {"expr": trigger["metadata"]["query"], "eval_time": "2m", "exp_samples": yaml.safe_load(expected)}
    case = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series_now.items()],
        "promql_expr_test": [check],
    }
    (folder / "test.yaml").write_text(yaml.safe_dump({"rule_files": [], "tests": [case]}))
    return subprocess.run([promtool, "test", "rules", folder / "test.yaml"], capture_output=True, text=True, check=False)


def test_the_query_adds_up_both_is_zero_while_servers_load_and_empty_where_nothing_is_known(promtool: str, tmp_path: Path) -> None:
    ours = f'namespace="{NAMESPACE}",job="{NAME}-llm"'
    model = values_of("eks-trn1")["llm"]["model"]["name"]
    busy = {
        f'vllm:num_requests_running{{{ours},pod="a",model_name="{model}"}}': "8x5",
        f'vllm:num_requests_waiting{{{ours},pod="a",model_name="{model}"}}': "5x5",
        f'vllm:num_requests_running{{{ours},pod="b",model_name="{model}"}}': "7x5",
        f'vllm:num_requests_waiting{{{ours},pod="b",model_name="{model}"}}': "0x5",
        f'vllm:num_requests_running{{namespace="other",job="{NAME}-llm",pod="c",model_name="{model}"}}': "90x5",
        f'vllm:num_requests_waiting{{namespace="other",job="{NAME}-llm",pod="c",model_name="{model}"}}': "90x5",
        f'up{{{ours},pod="a"}}': "1x5",
    }
    loading = {f'up{{{ours},pod="a"}}': "0x5"}
    for now, expected in ((busy, "[{labels: '{}', value: 20}]"), (loading, "[{labels: '{}', value: 0}]"), ({}, "[]")):
        answered = answers(promtool, tmp_path, now, expected)
        assert answered.returncode == 0, answered.stdout + answered.stderr
    assert answers(promtool, tmp_path, busy, "[{labels: '{}', value: 19}]").returncode != 0
