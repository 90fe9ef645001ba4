"""What is printed: complete, parseable, and in the chart's own words."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pipelines.plan import report
from pipelines.plan.asked import asked
from pipelines.plan.costs import plan, what_ifs
from pipelines.plan.facts import FACTS

CHART = Path(__file__).parents[4] / "deploy" / "helm" / "warmstart" / "values.yaml"


def paths(tree: object, at: str = "") -> list[str]:
    """Every key that leads to a value, with dots."""
    return [path for key, value in tree.items() for path in paths(value, f"{at}.{key}")] if isinstance(tree, dict) and tree else [at]


def test_every_input_is_printed_with_its_kind_and_source() -> None:
    question = asked({"llm_share": 0.25})
    text = report.text(plan(question), what_ifs(question))
    for name, row in FACTS["inputs"].items():
        assert f"  {name} " in text
        assert row["source"] in text or name == "llm_share"
    assert "given: this command" in text
    assert report.LEFT_OUT in text


def test_the_json_says_the_same_as_the_plan() -> None:
    question = asked()
    made = plan(question)
    read = json.loads(json.dumps(report.document(made, what_ifs(question))))
    assert read["usd_per_month"] == pytest.approx(made.usd_per_month)
    assert {pods["name"]: pods["replicas"] for pods in read["pods"]}["llm"] == made.replicas("llm")
    assert read["what_ifs"]["as asked"]["usd_per_hour"] == pytest.approx(made.usd_per_hour)
    assert read["nodes"][0]["price_date"]


def test_the_values_are_keys_of_the_chart() -> None:
    made = plan(asked({"requests_per_second": 100}))
    printed = yaml.safe_load(report.values(made))
    assert printed["llm"] == {"profile": "trn1-sdk2.28", "replicas": 5, "tensorParallelSize": 2, "maxModelLen": 2048, "maxNumSeqs": 8}
    assert printed["services"]["gateway"]["replicas"] == made.replicas("gateway")
    known = yaml.safe_load(CHART.read_text())
    for path in paths(printed):
        node = known
        for key in path.strip(".").split("."):
            assert key in node, path
            node = node[key]


def test_without_an_llm_the_values_name_none() -> None:
    assert "llm" not in yaml.safe_load(report.values(plan(asked({"llm_share": 0}))))


def test_the_pods_are_planned_as_the_chart_requests_them() -> None:
    services = yaml.safe_load(CHART.read_text())["services"]
    for name, values in services.items():
        cpu, memory = values["resources"]["requests"]["cpu"], values["resources"]["requests"]["memory"]
        planned = FACTS["inputs"][f"{name}_cpu"]["value"], FACTS["inputs"][f"{name}_mib"]["value"]
        mib = int(memory[:-2]) * {"Mi": 1, "Gi": 1024}[memory[-2:]]
        assert planned == (float(cpu[:-1]) / 1000 if cpu.endswith("m") else float(cpu), mib), name


def run(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "pipelines", "plan", *options], capture_output=True, text=True, timeout=60, check=False)


def test_the_command_prints_a_plan_and_takes_every_input_as_an_option() -> None:
    flags = [part for name, row in FACTS["inputs"].items() for part in ("--" + name.replace("_", "-"), str(row["value"]))]
    answer = run("--json", "--price", "trn1.2xlarge=2", *flags)
    assert answer.returncode == 0, answer.stderr
    assert {row["kind"] for row in json.loads(answer.stdout)["inputs"].values()} == {"given"}


def test_the_command_refuses_with_one_line() -> None:
    answer = run("--llm-share", "1.2")
    assert answer.returncode == 1
    assert answer.stderr.strip() == "PlanRefused: --llm-share 1.2 is outside 0 to 1; it means: share of requests with a stated interest."
