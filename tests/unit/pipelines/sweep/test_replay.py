"""The AWS study's figures, with the ratio the right way up."""

import pytest

from pipelines.sweep import report
from pipelines.sweep.faults import SweepRefused
from pipelines.sweep.replay import replayed
from pipelines.sweep.results import SIZE, panels

STUDY = replayed("aws-2025")


def test_the_published_latencies_give_the_core_seconds_of_a_batch() -> None:
    found = {cell.endpoint.tensor_parallel: cell.figures for cell in STUDY.cells}
    assert {size: shown.p50 and shown.p50.ms for size, shown in found.items()} == {2: 2480, 8: 885, 16: 645, 32: 532}
    assert {size: round(shown.core_seconds or 0, 1) for size, shown in found.items()} == {2: 5.0, 8: 7.1, 16: 10.3, 32: 17.0}


def test_the_smallest_size_is_the_cheapest_and_the_largest_the_fastest() -> None:
    (panel,) = panels(STUDY.cells)
    assert (panel.x, panel.cheapest.x, panel.fastest.x) == (SIZE, 2, 32)
    spent = [point.core_seconds for point in panel.points]
    paid = [point.figures.usd_per_1000 or 0 for point in panel.points]
    assert (spent, paid) == (sorted(spent), sorted(paid))
    assert [usd / cores for usd, cores in zip(paid, spent, strict=True)] == pytest.approx([paid[0] / spent[0]] * 4)


def test_the_report_says_so_and_names_the_source() -> None:
    text = report.markdown(STUDY)
    assert "fastest at tensor-parallel size 32, p50 532 ms for 17 core-s" in text
    assert "cheapest at 2, 4.96 core-s" in text
    assert "4.7 times as fast costs 3.4 times as much" in text
    assert "aws-samples coldstart-recs-on-aws-trainium (2025)" in text
    assert "Nothing of this was measured by this project" in text
    assert "Only P50 is published" in text


def test_what_was_not_published_is_not_made_up() -> None:
    for cell in report.document(STUDY)["cells"]:
        absent = {name for name, value in cell["figures"].items() if value is None}
        assert {"p95", "p99", "first_p50", "prompt_tokens", "completion_tokens", "prompt_tokens_per_second"} <= absent
        assert cell["figures"]["p50"]["low"] is None


def test_an_unknown_study_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(SweepRefused, match=r"--replay aws-2024 is unknown. Known: aws-2025"):
        replayed("aws-2024")
