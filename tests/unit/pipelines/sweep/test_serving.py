"""Servers are started by their runtime profile one after the other, measured, and gone after."""

import re
import sys
from pathlib import Path

import httpx2
import pytest
from tests.unit.pipelines.sweep.sweeping import QUICK, read, sweep

from pipelines.sweep.faults import SweepIncomplete
from servicekit.settings import environment_with

FAKE = Path(__file__).parents[3] / "fakes" / "completions.py"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "tiny-model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    return folder


def vllm(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """`vllm` on the path is this script from here on."""
    folder.mkdir()
    (folder / "vllm").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "vllm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{environment_with()['PATH']}")


def test_each_size_is_served_measured_and_stopped(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vllm(tmp_path / "bin", monkeypatch, f'echo started "$@"; exec {sys.executable} {FAKE} "$@"')
    told = sweep(tmp_path / "out", "--profile", "gpu", "--model-path", str(model), "--tensor-parallel", "1,4", *QUICK)
    assert [(cell["endpoint"]["name"], cell["endpoint"]["core"]) for cell in told["cells"]][::2] == [
        ("tiny-model gpu TP 1", "GPU"),
        ("tiny-model gpu TP 4", "GPU"),
    ]
    assert [choice["fastest"]["x"] for choice in told["choices"]] == [4, 4]
    assert "--tensor-parallel-size 4" in (tmp_path / "out" / "logs" / "gpu-4.log").read_text()
    for url in {cell["endpoint"]["url"] for cell in told["cells"]}:
        with pytest.raises(httpx2.ConnectError):
            httpx2.get(url + "/models", trust_env=False)
    vllm(tmp_path / "none", monkeypatch, "exit 9")
    again = sweep(tmp_path / "out", "--profile", "gpu", "--model-path", str(model), "--tensor-parallel", "1,4", *QUICK)
    assert [cell["figures"] for cell in again["cells"]] == [cell["figures"] for cell in told["cells"]]


@pytest.mark.parametrize(
    ("script", "options", "reason"),
    [
        ("echo no device; exit 3", (), r"ended with status 3 before .*\n(.*\n)*no device"),
        ("exec sleep 60", ("--start-s", "0.3"), r"--start-s 0.3"),
    ],
)
def test_a_server_that_does_not_start_is_told_with_the_end_of_its_log(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch, script: str, options: tuple[str, ...], reason: str
) -> None:
    vllm(tmp_path / "bin", monkeypatch, script)
    with pytest.raises(SweepIncomplete, match="lacks 1 cells: tiny-model cpu TP 1"):
        sweep(tmp_path / "out", "--profile", "cpu", "--model-path", str(model), *QUICK, *options)
    (told,) = read(tmp_path / "out")["unusable"].values()
    assert re.search(reason, told)
