import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retriever.segments.flat import FlatSegment
from retriever.segments.scan import MANY_QUERIES, products


@given(seed=st.integers(0, 2**32), rows=st.integers(1, 80), queries=st.sampled_from([1, 3, MANY_QUERIES]), n=st.integers(1, 90))
def test_the_best_are_the_sorted_scan_of_the_chosen_rows(seed: int, rows: int, queries: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    vectors, asked = rng.standard_normal((rows + 5, 7)).astype(np.float32), rng.standard_normal((queries, 7)).astype(np.float32)
    chosen, numbers = np.flatnonzero(rng.random(rows) < 0.6), 1_000 + np.arange(rows)
    segment = FlatSegment()
    segment.append(0, vectors)
    scores, found = segment.best(asked, n, chosen, numbers)
    expected = asked.astype(np.float64) @ vectors[chosen].T.astype(np.float64)
    assert found.shape == scores.shape == (queries, n)
    for query in range(queries):
        order = np.argsort(-expected[query])[:n]
        assert found[query].tolist() == numbers[chosen[order]].tolist() + [-1] * (n - len(order))
        assert scores[query, : len(order)] == pytest.approx(expected[query, order], abs=1e-4)


def test_equal_vectors_get_equal_products_wherever_they_lie() -> None:
    rng = np.random.default_rng(0)
    vector, query = rng.standard_normal((2, 1, 387)).astype(np.float32)
    segment = FlatSegment()
    segment.append(0, np.repeat(vector, 50, axis=0))
    assert len(set(products(segment.vectors, query, np.array([0, 7, 49, 13, 3]))[0].tolist())) == 1


def test_a_reader_finds_its_rows_unchanged_while_the_array_grows() -> None:
    rng = np.random.default_rng(0)
    segment, first, rows = FlatSegment(), rng.standard_normal((900, 16)).astype(np.float32), np.arange(900)
    segment.append(0, first)
    before = segment.best(first[:4], 10, rows, rows)

    def grow() -> None:
        for at in range(900, 40_000, 900):
            segment.append(at, 100 * first)

    growing = threading.Thread(target=grow)
    growing.start()
    while growing.is_alive():
        scores, found = segment.best(first[:4], 10, rows, rows)
        assert (found == before[1]).all()
        assert (scores == before[0]).all()
    growing.join()
