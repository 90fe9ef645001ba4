"""What the chart gives the Prometheus operator and Grafana fits the objects and the names of the release."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from tests.deploy import series
from tests.deploy.promql import named
from tests.deploy.rendering import CHART, NAMESPACE, SERVICES, Object, merged, of_kind, render, values_of

EVERYTHING = values_of("everything")
RELEASE = "books"
FULLNAME = "books-warmstart"


@pytest.fixture(scope="module")
def found() -> tuple[Object, ...]:
    """The objects of a release whose name and namespace stand in no file of the chart."""
    return render(EVERYTHING, RELEASE)


def rules(found: tuple[Object, ...]) -> list[Object]:
    return [rule for group in of_kind(found, "PrometheusRule")["alerts"]["spec"]["groups"] for rule in group["rules"]]


def test_every_service_and_vllm_is_scraped_at_a_port_that_its_service_has(found: tuple[Object, ...]) -> None:
    monitors, services = of_kind(found, "ServiceMonitor"), of_kind(found, "Service")
    assert monitors.keys() == services.keys() == {*SERVICES, "retriever-reader", "llm"}
    for component, monitor in monitors.items():
        wanted = monitor["spec"]["selector"]["matchLabels"].items()
        assert [name for name, service in services.items() if wanted <= service["metadata"]["labels"].items()] == [component]
        (endpoint,) = monitor["spec"]["endpoints"]
        assert endpoint["port"] in {port["name"] for port in services[component]["spec"]["ports"]}
        assert endpoint["path"] == "/metrics"


def test_an_external_llm_is_not_scraped() -> None:
    external = merged(values_of("external"), {"monitoring": {"serviceMonitor": {"enabled": True}}})
    assert of_kind(render(external), "ServiceMonitor").keys() == set(SERVICES)


def test_labels_that_the_operator_selects_by_are_added() -> None:
    selected = {"release": "kube-prometheus-stack"}
    asked = {kind: {"labels": selected} for kind in ("serviceMonitor", "prometheusRule", "dashboards")}
    for one in render(merged(EVERYTHING, {"monitoring": asked})):
        if one["kind"] in ("ServiceMonitor", "PrometheusRule") or "dashboard" in one["metadata"]["name"]:
            assert selected.items() <= one["metadata"]["labels"].items()


def test_nothing_of_monitoring_is_made_unless_it_is_asked_for() -> None:
    kinds = {one["kind"] for one in render({})}
    assert not kinds & {"ServiceMonitor", "PrometheusRule", "ScaledObject", "HorizontalPodAutoscaler"}
    assert not [one for one in render({}) if "dashboard" in one["metadata"]["name"]]


def test_rules_ask_for_the_jobs_of_this_release_only(found: tuple[Object, ...]) -> None:
    jobs = {service["metadata"]["name"] for service in of_kind(found, "Service").values()}
    assert f"{FULLNAME}-gateway" in jobs
    for rule in rules(found):
        for name, matchers in named(rule["expr"]).series:
            said = {matcher.label: matcher.value for matcher in matchers}
            assert name in series.CLUSTER_WIDE or said["namespace"] == NAMESPACE
            assert "job" not in said or any(re.fullmatch(said["job"], job) for job in jobs)
            assert said.get("job", FULLNAME).startswith(FULLNAME)


def test_rules_name_objects_as_the_chart_does(found: tuple[Object, ...]) -> None:
    """Deployments, Jobs, CronJobs, autoscalers, claims and pods, by the labels of kube-state-metrics and the kubelet."""
    names = {one["kind"]: {two["metadata"]["name"] for two in found if two["kind"] == one["kind"]} for one in found}
    claims = names["PersistentVolumeClaim"] | {f"state-{FULLNAME}-retriever-0"}
    there = {
        "deployment": names["Deployment"],
        "job_name": names["Job"],
        "cronjob": names["CronJob"],
        "horizontalpodautoscaler": names["HorizontalPodAutoscaler"] | names["ScaledObject"],
        "persistentvolumeclaim": claims,
        "pod": {f"{name}-x" for name in names["Deployment"] | names["StatefulSet"]},
    }
    met: set[str] = set()
    for rule in rules(found):
        for _, matchers in named(rule["expr"]).series:
            for matcher in matchers:
                if matcher.label in there:
                    fits = {name for name in there[matcher.label] if re.fullmatch(matcher.value, name)}
                    assert fits, f"{rule.get('alert')}: no {matcher.label} is like {matcher.value}"
                    met.add(matcher.label)
    assert met == there.keys()


def test_every_rule_of_the_files_is_in_the_release_and_leads_to_its_published_runbook(found: tuple[Object, ...]) -> None:
    files = [*(CHART / "alerts").glob("*.yaml"), *(CHART / "recording").glob("*.yaml")]
    assert len(rules(found)) == sum(len(group["rules"]) for path in files for group in yaml.safe_load(path.read_text())["groups"])
    alerts = [rule for rule in rules(found) if "alert" in rule]
    assert alerts
    for rule in alerts:
        assert rule["annotations"]["runbook_url"] == f"https://docs.example/runbooks/{rule['alert']}.md"


def test_promtool_accepts_what_the_chart_renders(found: tuple[Object, ...], promtool: str, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(of_kind(found, "PrometheusRule")["alerts"]["spec"]))
    checked = subprocess.run([promtool, "check", "rules", tmp_path / "rules.yaml"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_dashboards_are_config_maps_that_the_sidecar_finds(found: tuple[Object, ...]) -> None:
    maps = [one for one in found if one["kind"] == "ConfigMap" and one["metadata"]["labels"].get("grafana_dashboard") == "1"]
    files = {f"warmstart-{path.stem}.json": json.loads(path.read_text()) for path in (CHART / "dashboards").glob("*.json")}
    assert {name: json.loads(text) for one in maps for name, text in one["data"].items()} == files
