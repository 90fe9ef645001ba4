"""What operators and Kubernetes run against vLLM, and what Prometheus reads of it, against a real one."""

import json
import re
from pathlib import Path

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.bench.vllm_server import MODEL, Server
from tests.deploy import series

from expander.runtimes import __main__ as command
from expander.runtimes import pulse
from expander.runtimes.errors import DeviceHangs

CHART = Path(__file__).parents[2] / "deploy"
NAMES = re.compile(r"vllm:[a-z0-9_]+")
SUFFIXES = ("", "_total", "_bucket")


def test_the_canary_command_finds_what_the_profile_promises(vllm: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["canary", "--url", vllm.url, "--model", MODEL, "--profile", "cpu"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "model": MODEL,
        "structured_output": "honoured",
        "profile": "supported",
        "kept": True,
    }


def test_the_pulse_command_is_content_with_a_server_that_writes(vllm: Server) -> None:
    before = vllm.value("vllm:generation_tokens_total")
    assert command.main(["pulse", "--url", vllm.url, "--model", MODEL]) == 0
    assert vllm.value("vllm:generation_tokens_total") == before + 1


def test_the_pulse_command_tells_a_hang_that_health_does_not_see(vllm: Server, capsys: pytest.CaptureFixture[str]) -> None:
    with vllm.hanging():
        status = command.main(["pulse", "--url", vllm.url, "--model", MODEL, "--timeout-s", "2"])
        health = httpx2.get(vllm.url.removesuffix("/v1") + "/health", timeout=5).status_code
    assert (status, health) == (DeviceHangs.status, 200)
    assert "wrote no token" in capsys.readouterr().err


def test_vllm_shows_every_series_that_rules_and_dashboards_may_ask_for(vllm: Server) -> None:
    shown = {sample.name: set(sample.labels) for family in text_string_to_metric_families(vllm.metrics()) for sample in family.samples}
    assert {
        name: sorted(labels - shown.get(name, set())) for name, labels in series.VLLM.items() if not labels <= shown.get(name, set())
    } == {}
    assert set(pulse.COUNTERS) <= shown.keys()


def test_vllm_shows_every_metric_that_is_named_in_the_deployment(vllm: Server) -> None:
    shown = {sample.name for family in text_string_to_metric_families(vllm.metrics()) for sample in family.samples}
    files = [path for path in CHART.rglob("*") if path.suffix in (".yaml", ".json", ".py", ".tpl", ".md", ".tf")]
    named = {name: path.name for path in files for name in NAMES.findall(path.read_text(encoding="utf-8"))}
    assert len(named) >= 5, "the deployment scales and alerts by vLLM's metrics"
    assert {name: place for name, place in named.items() if not any(name + suffix in shown for suffix in SUFFIXES)} == {}
