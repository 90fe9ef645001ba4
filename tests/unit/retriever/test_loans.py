"""Lenders follow the catalogue: whatever the order of arrivals, they are what a search from scratch finds."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from retriever.loans import NOBODY, Loans
from retriever.segments.flat import FlatSegment

P = 3


@given(seed=st.integers(0, 2**32), batches=st.lists(st.integers(1, 6), min_size=1, max_size=6), dead=st.floats(0, 0.3))
def test_lenders_after_every_batch_are_those_found_from_scratch(seed: int, batches: list[int], dead: float) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((sum(batches), 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    said = rng.random(len(vectors)) < 0.6
    segment, loans, live = FlatSegment(), Loans.none(P), np.zeros(0, np.bool_)
    for size in batches:
        first = len(live)
        segment.append(first, vectors[first : first + size])
        live = np.append(live & (rng.random(first) >= dead), np.ones(size, np.bool_))
        warm, cold = live & said[: len(live)], live & ~said[: len(live)]
        loans = loans.changed(segment, warm, cold, np.arange(first, first + size))
        assert loans.cold.tolist() == np.flatnonzero(cold).tolist()
        for row in loans.cold:
            nearest = sorted(np.flatnonzero(warm), key=lambda other: -float(vectors[other] @ vectors[row]))[:P]
            assert loans.lenders_of(int(row)).tolist() == sorted(nearest)
        for row in np.flatnonzero(warm):
            assert len(loans.lenders_of(int(row))) == 0


def test_nobody_lends_a_mean_of_zero() -> None:
    loans = Loans(np.array([1]), np.full((1, P), NOBODY, np.int32), np.array([-np.inf], np.float32))
    assert loans.means(np.array([5.0, 7.0])).tolist() == [0.0]
