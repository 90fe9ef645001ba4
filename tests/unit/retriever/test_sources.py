import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retriever.sources import Query, best_rows, weighted_mean


@given(scores=st.lists(st.integers(0, 3).map(float), max_size=30), n=st.integers(1, 35), seed=st.integers(0, 99))
def test_the_best_rows_are_the_largest_and_of_equal_ones_the_older(scores: list[float], n: int, seed: int) -> None:
    allowed = np.random.default_rng(seed).random(len(scores)) < 0.7
    expected = sorted(np.flatnonzero(allowed), key=lambda row: (-scores[row], row))[:n]
    assert best_rows(np.array(scores), np.flatnonzero(allowed), n).tolist() == expected


def test_a_query_counts_by_its_weight() -> None:
    east, north = np.eye(2, dtype=np.float32)
    assert weighted_mean([Query("east", east, 3.0), Query("north", north, 1.0)]) == pytest.approx([0.75, 0.25])
