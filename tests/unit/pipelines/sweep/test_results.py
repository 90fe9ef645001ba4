"""Cells that differ in one thing stand beside each other; fast and cheap are told apart."""

from pipelines.sweep.endpoints import Endpoint
from pipelines.sweep.figures import Figures, Quantile
from pipelines.sweep.grid import Load
from pipelines.sweep.report import document, markdown
from pipelines.sweep.results import CALLERS, SIZE, Cell, Results, panels


def cell(size: int, callers: int, ms: float, *, model: str = "m", core: str = "core", prompt: int = 64, spread: float = 1.0) -> Cell:
    rate = 1_000 * callers / ms
    p50, p95, p99 = (Quantile(ms * more, ms * more - spread, ms * more + spread) for more in (1, 2, 3))
    shown = Figures(100, {}, p50, p95, p99, per_second=rate, core_seconds=size / rate)
    return Cell(Endpoint(f"{model} {core} {size}", "http://h/v1", model, size, size, core), Load(callers, prompt), shown)


def test_sizes_stand_beside_each_other_for_each_model_core_and_load() -> None:
    found = panels(
        [*(cell(size, callers, 100 / size) for size in (8, 2) for callers in (1, 4)), cell(2, 1, 50, model="n"), cell(4, 1, 9, core="GPU")]
    )
    assert [(panel.title, panel.core, [point.x for point in panel.points]) for panel in found] == [
        ("m, 1 at once, prompts of 64 tokens", "core", [2, 8]),
        ("m, 4 at once, prompts of 64 tokens", "core", [2, 8]),
        ("n, 1 at once, prompts of 64 tokens", "core", [2]),
        ("m, 1 at once, prompts of 64 tokens", "GPU", [4]),
    ]
    assert {panel.x for panel in found} == {SIZE}


def test_one_size_is_laid_out_by_concurrency() -> None:
    (panel,) = panels([cell(2, callers, 50 * callers) for callers in (4, 1, 16)])
    assert (panel.title, panel.x) == ("m, tensor-parallel size 2, prompts of 64 tokens", CALLERS)
    assert [point.x for point in panel.points] == [1, 4, 16]


def test_sizes_whose_intervals_meet_are_not_told_apart() -> None:
    (panel,) = panels([cell(2, 1, 300, spread=5), cell(8, 1, 101, spread=5), cell(16, 1, 100, spread=5)])
    assert panel.fastest.x == 16
    assert [point.x for point in panel.as_fast] == [8]
    text = markdown(Results("t", "request", (cell(2, 1, 300), cell(8, 1, 101, spread=5), cell(16, 1, 100, spread=5))))
    assert "fastest at tensor-parallel size 16 (not told apart from 8)" in text


def test_a_size_that_scales_without_loss_is_the_fastest_and_as_cheap() -> None:
    (panel,) = panels([cell(2, 1, 400), cell(8, 1, 100)])
    assert panel.fastest is panel.cheapest
    assert "which is the cheapest too" in markdown(Results("t", "request", (cell(2, 1, 400), cell(8, 1, 100))))


def test_a_cell_without_answers_is_lacking_and_in_no_panel() -> None:
    empty = Cell(Endpoint("e", "http://h/v1", "m", 4, 4), Load(1, 64), Figures(0, {"timeout": 10}))
    results = Results("t", "request", (cell(2, 1, 400), empty), unusable={"x, 1 at once": "gone"})
    assert results.lacking == ("x, 1 at once", "e, 1 at once, prompts of 64 tokens")
    assert [len(panel.points) for panel in panels(results.cells)] == [1]
    assert "- e, 1 at once, prompts of 64 tokens: 10 failed, timeout" in markdown(results)
    assert document(results)["cells"][1]["figures"]["p50"] is None
