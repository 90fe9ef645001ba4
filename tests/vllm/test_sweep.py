"""A sweep starts a real vLLM by its runtime profile, measures it, and leaves nothing running."""

from pathlib import Path

import httpx2
import pytest
from tests.fixtures.llm import tiny_llama
from tests.unit.pipelines.sweep.sweeping import sweep

from servicekit.settings import environment_with

VLLM = Path(__file__).parents[2] / ".venv-vllm" / "bin"
GRID = ("--concurrency", "1,4", "--prompt-tokens", "48,160", "--output-tokens", "12", "--requests", "24", "--ttft", "--no-plots")


def test_a_real_vllm_is_served_measured_and_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{VLLM}:{environment_with()['PATH']}")
    model = tiny_llama.write(tmp_path / "tiny")
    serving = ("--profile", "cpu", "--model-path", str(model), "--serve-args", "--max-model-len 512", "--start-s", "240")
    told = sweep(tmp_path / "out", *serving, *GRID, "--instance", "m7i.xlarge")
    assert [(cell["load"]["prompt_tokens"], cell["load"]["concurrency"]) for cell in told["cells"]] == [
        (48, 1),
        (48, 4),
        (160, 1),
        (160, 4),
    ]
    for cell in told["cells"]:
        shown, wanted = cell["figures"], cell["load"]["prompt_tokens"]
        assert (shown["answered"], shown["failures"], shown["completion_tokens"]) == (24, {}, 12)
        assert shown["prompt_tokens"] == pytest.approx(wanted, abs=max(4, 0.03 * wanted))
        assert 0 < shown["first_p50"]["ms"] <= shown["p50"]["ms"] <= shown["p95"]["ms"] <= shown["p99"]["ms"]
        assert shown["core_seconds"] == pytest.approx(cell["endpoint"]["cores"] / shown["per_second"])
        assert shown["usd_per_1000"] > 0
        assert cell["run"]["fixed"] == "ignore_eos and min_tokens"
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(told["cells"][0]["endpoint"]["url"] + "/models", trust_env=False)
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.setenv("PATH", str(empty))  # without vLLM: what is in the journal is not measured again
    assert sweep(tmp_path / "out", *serving, *GRID)["cells"][0]["figures"]["p50"] == told["cells"][0]["figures"]["p50"]
