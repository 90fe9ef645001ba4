import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retriever.bitmaps import of_numbers
from retriever.spread import SAMPLED, Moments, Spread, Tally


def units(rng: np.random.Generator, count: int, dim: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    vectors = rng.standard_normal((count, dim)) + 0.3
    unit: np.ndarray[tuple[int, int], np.dtype[np.float32]] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit.astype(np.float32)


@given(seed=st.integers(0, 2**32), count=st.integers(2, 60), dim=st.integers(2, 20), removed=st.integers(0, 30))
def test_the_closed_form_is_what_a_scan_finds(seed: int, count: int, dim: int, removed: int) -> None:
    rng = np.random.default_rng(seed)
    kept, gone, query = units(rng, count, dim), units(rng, removed, dim), units(rng, 1, dim)[0]
    moments = Moments.of(gone).plus(Moments.of(kept)).minus(Moments.of(gone)) if removed else Moments.none().plus(Moments.of(kept))
    scores = kept.astype(np.float64) @ query.astype(np.float64)
    spread = moments.spread(query)
    assert spread.mean == pytest.approx(scores.mean(), abs=1e-9)
    assert spread.std == pytest.approx(scores.std(), abs=1e-5)


def test_a_large_space_is_summed_in_blocks() -> None:
    vectors = units(np.random.default_rng(0), 20_000, 4)
    scores = vectors.astype(np.float64) @ vectors[0].astype(np.float64)
    assert Moments.of(vectors).spread(vectors[0]).std == pytest.approx(scores.std(), abs=1e-9)


def test_scores_that_are_all_the_same_contribute_nothing() -> None:
    same = np.repeat(units(np.random.default_rng(1), 1, 8), 50, axis=0)
    for spread in (Moments.of(same).spread(same[0]), Spread.of(np.full(50, 0.1) + 0.2)):
        assert spread.std == 0.0
        assert spread.standard(np.array([0.3, 9.0])).tolist() == [0.0, 0.0]


def test_moments_of_nothing_are_left_when_everything_is_removed() -> None:
    vectors = units(np.random.default_rng(2), 9, 3)
    assert Moments.of(vectors).minus(Moments.of(vectors)).count == 0
    assert Moments.none().spread(vectors[0]) == Spread(0.0, 0.0)


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=20, unique=True))
def test_standard_scores_have_mean_0_and_deviation_1(scores: list[float]) -> None:
    raw = np.array(scores)
    if (spread := Spread.of(raw)).std > 1e-3:
        standard = spread.standard(raw)
        assert (standard.mean(), standard.std()) == (pytest.approx(0, abs=1e-9), pytest.approx(1))


@given(seed=st.integers(0, 2**32), turns=st.lists(st.integers(0, 40), min_size=1, max_size=6))
def test_a_tally_of_a_set_that_changes_is_the_sum_over_what_is_in_it(seed: int, turns: list[int]) -> None:
    rng = np.random.default_rng(seed)
    vectors = units(rng, 40, 5)
    tally = Tally(lambda rows: vectors[rows])
    for count in turns:
        rows = rng.choice(40, count, replace=False)
        told, anew = tally.of(of_numbers(rows)), Moments.of(vectors[rows])
        assert told.count == count
        if count:
            assert np.allclose(told.total, anew.total)
            assert np.allclose(told.outer, anew.outer)


def test_the_spread_of_very_many_is_told_from_some_of_them() -> None:
    rng = np.random.default_rng(3)
    vectors, query = units(rng, 4 * SAMPLED + 7, 8), units(rng, 1, 8)[0]
    told, whole = Moments.about(vectors), Moments.of(vectors)
    assert told.count == whole.count
    assert np.allclose(told.total, whole.total)
    assert told.spread(query).mean == pytest.approx(whole.spread(query).mean)
    assert told.spread(query).std == pytest.approx(whole.spread(query).std, rel=0.03)
    few = vectors[:SAMPLED]
    assert np.array_equal(Moments.about(few).outer, Moments.of(few).outer)
