"""Percentiles are values that were seen, intervals are those of the bootstrap, and cost grows with what is held."""

import random

import numpy as np
import pytest

from pipelines.sweep.endpoints import Endpoint
from pipelines.sweep.figures import core_seconds, figures, quantile, usd_per_1000
from pipelines.sweep.runs import Answer, Run

EIGHT = Endpoint("eight", "http://h/v1", "m", 8, 8, "NeuronCore", 5.375)


def run(*times: float, per_second: float = 1.0, failures: dict[str, int] | None = None) -> Run:
    return Run(tuple(Answer(ms, 100, 20) for ms in times), failures or {}, {}, per_second, 1.0, 0.1)


@pytest.mark.parametrize(
    ("count", "percent", "ms"), [(100, 50, 50), (100, 95, 95), (100, 99, 99), (7, 50, 4), (8, 50, 4), (1, 99, 1), (101, 99, 100)]
)
def test_a_percentile_is_the_smallest_value_with_that_share_at_or_below_it(count: int, percent: int, ms: float) -> None:
    values = [float(value) for value in range(1, count + 1)]
    random.Random(1).shuffle(values)
    assert quantile(values, percent).ms == ms


@pytest.mark.parametrize("percent", [50, 95, 99])
def test_the_interval_is_that_of_many_resamples(percent: int) -> None:
    draw = np.random.default_rng(2)
    values = np.sort(draw.exponential(100, 120))
    rank = -(-120 * percent // 100)
    resampled = np.sort(values[draw.integers(0, 120, (20_000, 120))], axis=1)[:, rank - 1]
    found = quantile(values.tolist(), percent)
    assert found.low is not None
    assert found.high is not None
    for ours, bound in ((found.low, 0.025), (found.high, 0.975)):
        theirs = np.quantile(resampled, bound, method="inverted_cdf")
        assert abs(int(np.searchsorted(values, ours)) - int(np.searchsorted(values, theirs))) <= 1


def test_the_interval_covers_the_true_median_about_95_times_of_100() -> None:
    draw = np.random.default_rng(3)
    found = [quantile(draw.exponential(1, 80).tolist(), 50) for _ in range(400)]
    assert 0.9 < np.mean([(each.low or 0) <= np.log(2) <= (each.high or 0) for each in found]) < 0.99


@pytest.mark.parametrize(("percent", "least"), [(95, 20), (99, 100)])
def test_a_percentile_that_is_only_the_largest_value_says_so(percent: int, least: int) -> None:
    values = [float(value) for value in range(least + 1)]
    assert quantile(values[: least - 1], percent).largest
    assert not quantile(values, percent).largest


def test_core_seconds_of_one_request_at_a_time_are_cores_times_latency() -> None:
    assert core_seconds(8, 1 / 0.885) == pytest.approx(7.08)
    assert core_seconds(8, 4 / 0.885) == pytest.approx(7.08 / 4)  # four at once, answered as fast


def test_cost_is_the_price_over_the_answers() -> None:
    assert usd_per_1000(3.6, 1.0) == pytest.approx(1.0)
    assert figures(EIGHT, run(885.0, per_second=1 / 0.885)).usd_per_1000 == pytest.approx(5.375 / 3600 * 885)


def test_more_cores_at_the_same_rate_cost_more() -> None:
    held = [core_seconds(cores, 2.0) for cores in (2, 8, 32)]
    assert held == sorted(held)


def test_tokens_are_those_of_answers() -> None:
    found = figures(EIGHT, run(100, 200, per_second=4.0))
    assert (found.prompt_tokens_per_second, found.completion_tokens_per_second) == (400, 80)


def test_a_cell_without_answers_has_no_figure_and_keeps_its_failures() -> None:
    found = figures(EIGHT, run(per_second=0.0, failures={"timeout": 3}))
    assert (found.p50, found.core_seconds, found.usd_per_1000, found.per_second) == (None, None, None, None)
    assert (found.answered, found.failed) == (0, 3)


def test_an_endpoint_without_a_price_has_core_seconds_and_no_cost() -> None:
    found = figures(Endpoint("free", "http://h/v1", "m", 2, 2), run(10.0))
    assert found.core_seconds == pytest.approx(2)
    assert found.usd_per_1000 is None
