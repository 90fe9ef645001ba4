"""Ranking metrics, against values worked out by hand."""

import numpy as np
import pytest

from pipelines.evaluate import metrics


def test_recall_counts_hits_over_what_can_be_hit() -> None:
    assert metrics.recall(["a", "b", "c"], {"a", "c", "z"}, k=3) == pytest.approx(2 / 3)
    assert metrics.recall(["a", "b", "c"], {"a", "c", "z"}, k=2) == pytest.approx(1 / 2)
    assert metrics.recall(["x"], {"a"}, k=20) == 0


def test_ndcg_is_one_for_the_ideal_ranking_and_falls_with_the_place_of_a_hit() -> None:
    assert metrics.ndcg(["a", "b", "x"], {"a", "b"}, k=3) == pytest.approx(1)
    assert metrics.ndcg(["x", "a"], {"a"}, k=2) == pytest.approx(1 / np.log2(3))


def test_the_interval_holds_the_mean_and_narrows_with_more_users() -> None:
    few = metrics.estimate(np.tile([0.0, 1.0], 20))
    many = metrics.estimate(np.tile([0.0, 1.0], 2_000))
    assert few.mean == pytest.approx(0.5)
    assert few.low < 0.5 < few.high
    assert many.high - many.low < (few.high - few.low) / 5


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(1)
    samples = random.binomial(1, 0.3, size=(200, 100)).astype(float)
    held = [low <= 0.3 <= high for low, high in ((e.low, e.high) for e in map(metrics.estimate, samples))]
    assert 0.88 <= np.mean(held) <= 0.99


def test_a_paired_difference_is_sharper_than_two_separate_intervals() -> None:
    random = np.random.default_rng(2)
    theirs = random.random(500)
    difference = metrics.paired_difference(theirs + 0.01, theirs)
    assert difference.low == pytest.approx(0.01)
    assert metrics.estimate(theirs + 0.01).low < metrics.estimate(theirs).high


def test_coverage_is_the_share_of_items_anybody_saw() -> None:
    assert metrics.coverage([["a", "b", "c"], ["a", "d"]], k=2, catalogue_size=10) == pytest.approx(0.3)


def test_a_paired_ratio_is_exact_where_every_user_keeps_the_same_share() -> None:
    theirs = np.random.default_rng(3).random(200)
    ratio = metrics.paired_ratio(0.9 * theirs, theirs)
    assert (ratio.mean, ratio.low, ratio.high) == pytest.approx((0.9, 0.9, 0.9))


def test_a_paired_ratio_is_that_of_the_means_and_not_the_mean_of_ratios() -> None:
    ratio = metrics.paired_ratio(np.array([0.0, 1.0]), np.array([0.5, 1.0]))
    assert ratio.mean == pytest.approx(2 / 3)
    assert ratio.low <= ratio.mean <= ratio.high
