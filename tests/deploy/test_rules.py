"""Recording rules and alerts are valid, ask for series that exist, fire when they should, and have a runbook each."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.deploy import series
from tests.deploy.promql import named

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "warmstart"
ALERTS = sorted((CHART / "alerts").glob("*.yaml"))
RECORDINGS = sorted((CHART / "recording").glob("*.yaml"))
TESTS = sorted((ROOT / "tests" / "deploy" / "rules").glob("*.yaml"))
RUNBOOKS = ROOT / "docs" / "runbooks"
HEADINGS = ["Meaning", "Impact", "First look", "Likely causes", "Remedy", "Over when"]
ROUTE = re.compile(r"^/[\w/{}]+$")


def rules(path: Path) -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]


RULES = [pytest.param(rule, id=f"{path.stem}-{number}") for path in ALERTS + RECORDINGS for number, rule in enumerate(rules(path))]
RECORDED = {rule["record"]: {"namespace", "job"} for path in RECORDINGS for rule in rules(path)}


def test_promtool_accepts_every_rule(promtool: str) -> None:
    files = [str(path) for path in ALERTS + RECORDINGS]
    checked = subprocess.run([promtool, "check", "rules", "--lint-fatal", *files], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_the_alert_fires_when_it_should_and_is_silent_when_it_should(promtool: str, path: Path) -> None:
    tested = subprocess.run([promtool, "test", "rules", path.name], cwd=path.parent, capture_output=True, text=True)
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_the_tests_of_an_alert_fail_when_it_never_fires(promtool: str, tmp_path: Path) -> None:
    """So that a misread label or an unloaded file can not pass for silence."""
    (tmp_path / "never.yaml").write_text((CHART / "alerts" / "VllmHang.yaml").read_text().replace("> 0", "> 1e9"))
    (tmp_path / "test.yaml").write_text(re.sub(r"\S+/alerts/VllmHang.yaml", "never.yaml", (TESTS[0].parent / "VllmHang.yaml").read_text()))
    tested = subprocess.run([promtool, "test", "rules", "test.yaml"], cwd=tmp_path, capture_output=True, text=True)
    assert tested.returncode != 0


def test_every_alert_has_a_file_a_runbook_and_a_promtool_test_of_its_name_and_none_is_left_over() -> None:
    names = {path.stem for path in ALERTS}
    assert len(names) >= 20
    assert {path.stem for path in RUNBOOKS.glob("*.md")} - {"README"} == names
    assert {path.stem for path in TESTS} == names
    assert {path.stem: {rule["alert"] for rule in rules(path)} for path in ALERTS} == {name: {name} for name in names}


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_every_alert_is_proved_both_loud_and_silent(path: Path) -> None:
    cases = yaml.safe_load(path.read_text())["tests"]
    expected = [check["exp_samples"] for case in cases for check in case["promql_expr_test"]]
    assert any(expected)
    assert not all(expected)


@pytest.mark.parametrize("path", ALERTS, ids=lambda path: path.stem)
def test_every_alert_says_how_bad_what_and_where_to_read_on(path: Path) -> None:
    for rule in rules(path):
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
        assert (ROOT / rule["annotations"]["runbook_url"]).is_file()
        labels = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
        assert labels <= named(rule["expr"]).labels | {label for name, _ in named(rule["expr"]).series for label in known(name)}


def known(name: str) -> set[str]:
    """Labels of a series that exists or is recorded; fails for any other."""
    there: dict[str, set[str]] = series.known() | RECORDED
    assert name in there, f"nothing exposes {name}"
    return there[name]


@pytest.mark.parametrize("rule", RULES)
def test_rules_ask_for_series_and_labels_that_exist(rule: dict[str, Any]) -> None:
    asked = named(rule["expr"])
    assert asked.series
    for name, matchers in asked.series:
        assert {matcher.label for matcher in matchers} <= known(name), f"{name} has not all of these labels"
    assert asked.labels <= set().union(*(known(name) for name, _ in asked.series))


@pytest.mark.parametrize("rule", RULES)
def test_rules_ask_for_this_release_only(rule: dict[str, Any]) -> None:
    for name, matchers in named(rule["expr"]).series:
        said = {matcher.label: matcher.value for matcher in matchers}
        if name in series.CLUSTER_WIDE:
            continue
        assert said["namespace"] == "warmstart"
        assert any("warmstart-" in value for label, value in said.items() if label != "namespace")


@pytest.mark.parametrize("rule", RULES)
def test_routes_and_buckets_that_rules_ask_for_exist(rule: dict[str, Any]) -> None:
    from gateway.api import ROUTES as GATEWAY
    from retriever.api import ROUTES as RETRIEVER
    from servicekit.metrics import SECONDS_BUCKETS

    routes = {route.path for route in (*GATEWAY, *RETRIEVER)} | {"/readyz"}
    for name, matchers in named(rule["expr"]).series:
        said = {matcher.label: matcher.value for matcher in matchers}
        asked = {route for route in said.get("route", "").split("|") if ROUTE.match(route)}
        assert asked <= routes
        assert "le" not in said or float(said["le"]) in SECONDS_BUCKETS, f"{name} has no bucket {said['le']}"


@pytest.mark.parametrize("path", ALERTS, ids=lambda path: path.stem)
def test_every_runbook_answers_the_same_six_questions_with_commands_to_run(path: Path) -> None:
    text = (RUNBOOKS / f"{path.stem}.md").read_text()
    assert text.startswith(f"# {path.stem}\n")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == HEADINGS
    look = text.split("## First look")[1].split("## Likely causes")[0]
    assert "kubectl " in look
    linked = re.findall(r"\]\((\w+\.md)\)", text)
    assert [link for link in linked if not (RUNBOOKS / link).is_file()] == []


@pytest.mark.parametrize("path", ALERTS, ids=lambda path: path.stem)
def test_the_queries_of_a_runbook_ask_for_series_that_exist(path: Path) -> None:
    text = (RUNBOOKS / f"{path.stem}.md").read_text()
    for query in "\n".join(re.findall(r"```promql\n(.*?)```", text, re.DOTALL)).splitlines():
        for name, matchers in named(query).series:
            assert {matcher.label for matcher in matchers} <= known(name)


def test_the_burn_rates_are_those_of_the_workbook() -> None:
    """Google SRE workbook, chapter 5, table 5-8: factor, long window, short window."""
    table = [("14.4", "1h", "5m", "critical"), ("6", "6h", "30m", "critical"), ("1", "3d", "6h", "warning")]
    for name in ("GatewayErrorBudgetBurn", "GatewayLatencyBudgetBurn"):
        found = []
        for rule in rules(CHART / "alerts" / f"{name}.yaml"):
            windows = re.findall(r"ratio_rate(\w+)\{[^}]*\} > ([\d.]+) \*", rule["expr"])
            assert len({factor for _, factor in windows}) == 1
            found.append((windows[0][1], windows[0][0], windows[1][0], rule["labels"]["severity"]))
        assert found == table


def test_the_documentation_lists_every_alert_with_its_severities() -> None:
    rows = re.findall(r"^\| ([A-Z]\w+(?:, \w+)*) \| ([a-z, ]+) \|", (ROOT / "docs" / "monitoring.md").read_text(), re.MULTILINE)
    listed = {name: said.split(", ") for names, said in rows for name in names.split(", ")}
    assert listed == {path.stem: list(dict.fromkeys(rule["labels"]["severity"] for rule in rules(path))) for path in ALERTS}
