import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retriever.segments.flat import MANY_QUERIES, FlatSegment


@given(seed=st.integers(0, 2**32), rows=st.integers(1, 80), queries=st.sampled_from([1, 3, MANY_QUERIES]), n=st.integers(1, 90))
def test_nearest_is_the_sorted_scan_of_the_allowed_rows(seed: int, rows: int, queries: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    vectors, asked = rng.standard_normal((rows + 5, 7)).astype(np.float32), rng.standard_normal((queries, 7)).astype(np.float32)
    allowed = rng.random(rows) < 0.6
    segment = FlatSegment()
    segment.append(0, vectors)
    scores, found = segment.nearest(asked, n, allowed)
    expected = asked.astype(np.float64) @ vectors[:rows].T.astype(np.float64)
    for query in range(queries):
        order = [row for row in np.argsort(-expected[query]) if allowed[row]][:n]
        assert found[query].tolist() == order
        assert scores[query] == pytest.approx(expected[query, order], abs=1e-4)


def test_equal_vectors_get_equal_products_wherever_they_lie() -> None:
    rng = np.random.default_rng(0)
    vector, query = rng.standard_normal((2, 1, 387)).astype(np.float32)
    segment = FlatSegment()
    segment.append(0, np.repeat(vector, 50, axis=0))
    assert len(set(segment.products(query, np.array([0, 7, 49, 13, 3]))[0].tolist())) == 1


def test_a_reader_finds_its_rows_unchanged_while_the_array_grows() -> None:
    rng = np.random.default_rng(0)
    segment, first = FlatSegment(), rng.standard_normal((900, 16)).astype(np.float32)
    segment.append(0, first)
    before = segment.nearest(first[:4], 10, np.ones(900, np.bool_))

    def grow() -> None:
        for at in range(900, 40_000, 900):
            segment.append(at, 100 * first)

    growing = threading.Thread(target=grow)
    growing.start()
    while growing.is_alive():
        scores, rows = segment.nearest(first[:4], 10, np.ones(900, np.bool_))
        assert (rows == before[1]).all()
        assert (scores == before[0]).all()
    growing.join()
