"""The two plots show what the report says; without matplotlib that is told before anything is measured."""

import re
import sys
from pathlib import Path

import pytest
from tests.fakes.completions import Completions, serving
from tests.unit.pipelines.sweep.sweeping import QUICK, named, sweep

from pipelines.sweep import plots
from pipelines.sweep.faults import PlotsMissing
from pipelines.sweep.replay import replayed
from pipelines.sweep.results import panels

DOCS = Path(__file__).parents[4] / "docs"


def words(svg: Path) -> list[str]:
    """All text of a plot."""
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg.read_text())


def test_without_matplotlib_a_sweep_is_refused_with_the_remedy_and_asks_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with (
        serving(Completions()) as server,
        pytest.raises(PlotsMissing, match=r"pip install 'warmstart-pipelines\[plots\]', or .*--no-plots"),
    ):
        sweep(tmp_path, named(server, 1), *(option for option in QUICK if option != "--no-plots"))
    assert server.seen == []


class TestDrawn:
    @pytest.fixture(autouse=True)
    def _matplotlib(self) -> None:
        pytest.importorskip("matplotlib")

    def test_the_same_results_give_the_same_files(self, tmp_path: Path) -> None:
        found = panels(replayed("aws-2025").cells)
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            assert plots.draw(found, "batch", tmp_path / name) == ["latency.svg", "cost.svg"]
        for name in ("latency.svg", "cost.svg"):
            assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()

    def test_the_replay_names_the_fastest_and_the_cheapest_side_by_side(self, tmp_path: Path) -> None:
        plots.draw(panels(replayed("aws-2025").cells), "batch", tmp_path)
        told = words(tmp_path / "cost.svg")
        assert {"fastest: 32", "cheapest: 2", "core-seconds a batch", "p50, ms a batch", "tensor-parallel size"} <= set(told)
        assert "USD per 1,000 batches (dashed)" in told
        assert {"2", "8", "16", "32"} <= set(words(tmp_path / "latency.svg"))

    def test_the_plots_of_the_documents_are_those_of_the_replay(self, tmp_path: Path) -> None:
        plots.draw(panels(replayed("aws-2025").cells), "batch", tmp_path)
        for name in ("latency", "cost"):
            assert words(DOCS / f"sweep-{name}.svg") == words(tmp_path / f"{name}.svg")

    def test_one_size_is_drawn_against_concurrency(self, tmp_path: Path) -> None:
        with serving(Completions()) as server:
            sweep(tmp_path, named(server, 4), *(option for option in QUICK if option != "--no-plots"))
        told = words(tmp_path / "latency.svg")
        assert {"requests at once", "1", "3", "p50", "p95", "p99"} <= set(told)
        assert "tensor-parallel size" not in told
        assert "![latency.svg](latency.svg)" in (tmp_path / "sweep.md").read_text()

    def test_nothing_measured_draws_nothing(self, tmp_path: Path) -> None:
        assert plots.draw((), "request", tmp_path) == []
        assert list(tmp_path.iterdir()) == []
