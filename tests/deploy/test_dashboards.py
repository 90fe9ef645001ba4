"""The dashboards are those their source draws, and show only series that exist."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.deploy import series
from tests.deploy.promql import named

import write_dashboards

HELM = Path(__file__).parents[2] / "deploy" / "helm"
CHART = HELM / "warmstart"
FILES = sorted((CHART / "dashboards").glob("*.json"))
RECORDED = {
    rule["record"]: {"namespace", "job"}
    for path in (CHART / "recording").glob("*.yaml")
    for group in yaml.safe_load(path.read_text())["groups"]
    for rule in group["rules"]
}
CHOSEN = {"$namespace": "warmstart", "$release": "warmstart", "$__rate_interval": "2m"}


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def dashboard(request: pytest.FixtureRequest) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(request.param.read_text())
    return read


def expressions(dashboard: dict[str, Any]) -> list[str]:
    """Every query, with something chosen for the variables."""
    found = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    for variable, value in CHOSEN.items():
        found = [expression.replace(variable, value) for expression in found]
    return found


def test_the_committed_dashboards_are_those_of_their_source() -> None:
    assert {path.stem: path.read_text() for path in FILES} == {name: write_dashboards.text(name) for name in write_dashboards.DASHBOARDS}, (
        "run `python deploy/helm/write_dashboards.py` and review the difference"
    )


def test_each_service_has_its_dashboard_and_all_have_their_own_uid() -> None:
    assert {path.stem for path in FILES} == {"overview", "encoder", "expander", "retriever"}
    assert len({json.loads(path.read_text())["uid"] for path in FILES}) == len(FILES)


def test_dashboards_ask_for_series_and_labels_that_exist(dashboard: dict[str, Any]) -> None:
    known = series.known() | RECORDED
    for expression in expressions(dashboard):
        asked = named(expression)
        assert asked.series
        assert [name for name, _ in asked.series if name not in known] == []
        for name, matchers in asked.series:
            assert {matcher.label for matcher in matchers} <= known[name]
        assert asked.labels <= set().union(*(known[name] for name, _ in asked.series))


def test_the_legend_names_labels_that_the_query_keeps(dashboard: dict[str, Any]) -> None:
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            shown = {part.split("}}")[0].strip() for part in target["legendFormat"].split("{{")[1:]}
            asked = named(target["expr"])
            kept = asked.labels or set().union(*(series.known().get(name, set()) for name, _ in asked.series))
            assert shown <= kept, f"{panel['title']}: {target['legendFormat']}"


def test_dashboards_show_the_chosen_release_only(dashboard: dict[str, Any]) -> None:
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            for name, matchers in named(target["expr"]).series:
                values = {matcher.label: matcher.value for matcher in matchers}
                if name not in series.CLUSTER_WIDE:
                    assert values["namespace"] == "$namespace"
                    assert any("$release-" in value for value in values.values())


def test_panels_are_titled_apart_and_do_not_overlap(dashboard: dict[str, Any]) -> None:
    titles = [panel["title"] for panel in dashboard["panels"]]
    assert len(set(titles)) == len(titles)
    taken = [
        (panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y)
        for panel in dashboard["panels"]
        for x in range(panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["h"])
    ]
    assert len(set(taken)) == len(taken)
    assert max(x for x, _ in taken) < 24


def family(name: str) -> str:
    for ending in ("_bucket", "_count", "_sum", "_total"):
        name = name.removesuffix(ending)
    return name


def test_every_metric_of_our_services_is_shown_somewhere() -> None:
    shown = {
        family(name) for path in FILES for expression in expressions(json.loads(path.read_text())) for name, _ in named(expression).series
    }
    exposed = {family(name) for service in series.SERVICES for name in series.exposed(service) if not name.endswith("_created")}
    assert {name for name in exposed if not name.startswith("process_")} - shown == set()


def test_promtool_parses_every_query(dashboard: dict[str, Any], promtool: str, tmp_path: Path) -> None:
    rules = [{"record": f"query:{number}", "expr": expression} for number, expression in enumerate(expressions(dashboard))]
    (tmp_path / "queries.yaml").write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    checked = subprocess.run([promtool, "check", "rules", tmp_path / "queries.yaml"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
