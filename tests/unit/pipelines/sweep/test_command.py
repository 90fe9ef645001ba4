"""A sweep over real servers: every cell measured once, all of it reported, nothing that failed left out."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.fakes.completions import Completions, serving
from tests.unit.pipelines.sweep.sweeping import QUICK, named, read, sweep

from pipelines.sweep.faults import SweepIncomplete, SweepRefused


def test_every_endpoint_is_measured_under_every_load(tmp_path: Path) -> None:
    with serving(Completions(seconds=0.03)) as small, serving(Completions(seconds=0.012)) as large:
        told = sweep(tmp_path, named(small, 2, usd_per_hour=3.6), named(large, 8, usd_per_hour=14.4), *QUICK)
    cells = {(cell["endpoint"]["tensor_parallel"], cell["load"]["concurrency"]): cell["figures"] for cell in told["cells"]}
    assert set(cells) == {(2, 1), (2, 3), (8, 1), (8, 3)}
    for (size, callers), shown in cells.items():
        assert (shown["answered"], shown["failures"], shown["prompt_tokens"], shown["completion_tokens"]) == (12, {}, 24, 8)
        assert shown["core_seconds"] == pytest.approx(size / shown["per_second"])
        assert shown["usd_per_1000"] == pytest.approx(size * 1.8 / 3.6 / shown["per_second"])
        assert shown["p50"]["low"] <= shown["p50"]["ms"] <= shown["p50"]["high"] <= shown["p99"]["ms"]
        assert shown["per_second"] < callers * 1_000 / 12
    assert (small.most_in_flight, large.most_in_flight) == (3, 3)
    assert [(at["fastest"]["x"], at["cheapest"]["x"]) for at in told["choices"]] == [(8, 2), (8, 2)]
    text = (tmp_path / "sweep.md").read_text()
    assert "| fake TP 8 | 8 | 3 | 24 (24.0) |" in text
    assert "fake TP 2: length of completions set by ignore_eos and min_tokens." in text


def test_a_second_run_asks_nothing_and_reports_the_same(tmp_path: Path) -> None:
    with serving(Completions()) as server:
        first = sweep(tmp_path, named(server, 1), *QUICK)
    assert sweep(tmp_path, named(server, 1), *QUICK) == first  # the server is gone: it would be missed
    asked = len(server.seen)
    with serving(server):
        wider = sweep(tmp_path, named(server, 1), *QUICK, "--concurrency", "1,3,6")
    assert [cell["figures"] for cell in wider["cells"][:2]] == [cell["figures"] for cell in first["cells"]]
    assert len(server.seen) - asked < 12 + 6 + 6 + 6 + 12  # one cell, its warm-up and fill, and the meeting
    priced = sweep(tmp_path, named(server, 1, usd_per_hour=3.6), *QUICK)
    assert priced["cells"][0]["figures"]["usd_per_1000"] == pytest.approx(1 / first["cells"][0]["figures"]["per_second"])


def test_a_sweep_that_was_killed_goes_on_after_its_last_finished_cell(tmp_path: Path) -> None:
    journal = tmp_path / "cells.jsonl"
    with serving(Completions(seconds=0.1)) as server:
        line = [sys.executable, "-m", "pipelines", "sweep", "--out", str(tmp_path), named(server, 1), *QUICK]
        child = subprocess.Popen(line, stdout=subprocess.DEVNULL)
        ends = time.monotonic() + 60
        while not (journal.exists() and journal.read_bytes().count(b"\n")):
            assert child.poll() is None
            assert time.monotonic() < ends
            time.sleep(0.01)
        child.send_signal(signal.SIGKILL)
        child.wait()
        before = journal.read_bytes()
        server.seconds = 0.005
        told = sweep(tmp_path, named(server, 1), *QUICK)
    assert before.count(b"\n") == 1
    assert journal.read_bytes().startswith(before)
    assert [cell["figures"]["answered"] for cell in told["cells"]] == [12, 12]
    assert told["cells"][0]["figures"]["p50"]["ms"] >= 100 > told["cells"][1]["figures"]["p50"]["ms"]


def test_an_endpoint_that_is_gone_is_named_and_the_others_are_measured(tmp_path: Path) -> None:
    with serving(Completions()) as gone:
        pass
    with (
        serving(Completions()) as server,
        pytest.raises(SweepIncomplete, match=r"sweep.md is written and lacks 2 cells: fake TP 4, 1 at once"),
    ):
        sweep(tmp_path, named(gone, 4), named(server, 1), *QUICK)
    told = read(tmp_path)
    assert [cell["endpoint"]["tensor_parallel"] for cell in told["cells"]] == [1, 1]
    assert all("is not reachable" in reason for reason in told["unusable"].values())
    assert "Not measured: fake TP 4, 3 at once" in (tmp_path / "sweep.md").read_text()


def test_some_failures_are_counted_and_shown_and_the_cell_stands(tmp_path: Path) -> None:
    with serving(Completions(fails_each=7)) as server:
        told = sweep(tmp_path, named(server, 1), *QUICK, "--requests", "40")
    for cell in told["cells"]:
        failed = cell["figures"]["failures"]["status 503"]
        assert failed >= 4
        assert cell["figures"]["answered"] + failed == 40
    text = (tmp_path / "sweep.md").read_text()
    assert "failed, status 503: full" in text
    assert "failures are counted, and the time they took is part of core-seconds and cost" in text


def test_a_cell_of_nothing_but_failures_is_given_up_named_and_measured_again_by_the_next_run(tmp_path: Path) -> None:
    with serving(Completions(fails_after=4)) as server:  # as many as it takes to meet it and to find a prompt's length
        with pytest.raises(SweepIncomplete, match=r"lacks 2 cells: fake TP 1, 1 at once"):
            sweep(tmp_path, named(server, 1), *QUICK)
        for cell in read(tmp_path)["cells"]:
            assert 10 <= cell["figures"]["failures"]["status 503"] < 10 + 3
        assert "given up, because nothing but failures came" in (tmp_path / "sweep.md").read_text()
        server.fails_after = None
        assert [cell["figures"]["answered"] for cell in sweep(tmp_path, named(server, 1), *QUICK)["cells"]] == [12, 12]


def test_a_length_that_does_not_fit_is_left_out_with_the_remedy(tmp_path: Path) -> None:
    with serving(Completions(max_model_len=60)) as server, pytest.raises(SweepIncomplete, match="prompts of 58 tokens"):
        sweep(tmp_path, named(server, 1), *QUICK, "--prompt-tokens", "24,58,4")
    reasons = read(tmp_path)["unusable"]
    assert "58 prompt tokens and 8 of the answer exceed the model's 60" in reasons["fake TP 1, 1 at once, prompts of 58 tokens"]
    assert "Give 6 or more" in reasons["fake TP 1, 1 at once, prompts of 4 tokens"]
    assert len(read(tmp_path)["cells"]) == 2


def test_lengths_that_differ_are_told(tmp_path: Path) -> None:
    with serving(Completions(refuses=("ignore_eos",), stops_after=5)) as server:
        sweep(tmp_path, named(server, 1), *QUICK)
    assert "max_tokens alone (not obeyed: 5 of 8 tokens)" in (tmp_path / "sweep.md").read_text()


def test_the_time_to_the_first_token_is_reported_where_asked_for(tmp_path: Path) -> None:
    with serving(Completions()) as server:
        told = sweep(tmp_path, named(server, 1), *QUICK, "--ttft")
    for cell in told["cells"]:
        assert 0 < cell["figures"]["first_p50"]["ms"] < cell["figures"]["p50"]["ms"]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ((), r"Nothing to measure: give --endpoint"),
        (("--model-path", "/m"), r"--model-path /m needs --profile"),
        (("--instance", "m7i.xlarge"), r"--instance m7i.xlarge needs --profile"),
        (("--tensor-parallel", "2"), r"--tensor-parallel \[2\] needs --profile"),
        (("--replay", "aws-2025", "--endpoint", "url=http://h/v1"), r"--replay aws-2025 measures nothing"),
        (("--profile", "cpu"), r"--profile cpu needs --model-path"),
        (("--profile", "abacus", "--model-path", "/m"), r"--profile abacus starts no server. Known: trn1-sdk2.28"),
        (("--profile", "external", "--model-path", "/m"), r"--profile external starts no server"),
        (("--profile", "cpu", "--model-path", "/m", "--tensor-parallel", "1,2"), r"--tensor-parallel 2 is not legal on cpu. Choose of 1"),
        (("--profile", "cpu", "--model-path", "/nowhere"), r"--model-path /nowhere holds no config.json"),
        (("--replay", "mine"), r"--replay mine is unknown. Known: aws-2025"),
    ],
)
def test_options_that_can_not_be_measured_are_refused_before_anything_is_written(
    tmp_path: Path, options: tuple[str, ...], reason: str
) -> None:
    with pytest.raises(SweepRefused, match=reason):
        sweep(tmp_path / "out", "--no-plots", *options)
    assert not (tmp_path / "out").exists()


def test_the_replay_is_written_by_the_command_line(tmp_path: Path) -> None:
    line = [sys.executable, "-m", "pipelines", "sweep", "--replay", "aws-2025", "--no-plots", "--out", str(tmp_path)]
    assert subprocess.run(line, capture_output=True, text=True, check=True).stdout == f"{tmp_path / 'sweep.md'}: 4 cells\n"
    choice = json.loads((tmp_path / "sweep.json").read_text())["choices"][0]
    assert (choice["cheapest"]["x"], choice["fastest"]["x"]) == (2, 32)


def test_a_refusal_ends_the_command_line_with_its_name(tmp_path: Path) -> None:
    line = [sys.executable, "-m", "pipelines", "sweep", "--no-plots", "--out", str(tmp_path)]
    ended = subprocess.run(line, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith("SweepRefused: Nothing to measure")
