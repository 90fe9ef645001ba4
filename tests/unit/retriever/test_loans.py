"""Lenders follow the catalogue: whatever the order of arrivals, they are what a search from scratch finds."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from retriever.centre import Centre
from retriever.centred import Centred
from retriever.identity import Identity
from retriever.items import Rows
from retriever.loans import NOBODY, Loans
from retriever.vectorspace import VectorSpace

P = 3


@given(seed=st.integers(0, 2**32), batches=st.lists(st.integers(1, 6), min_size=1, max_size=6), dead=st.floats(0, 0.3))
def test_lenders_after_every_batch_are_those_found_from_scratch(seed: int, batches: list[int], dead: float) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((sum(batches), 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    said = rng.random(len(vectors)) < 0.6
    space, loans, live = VectorSpace.empty(Identity(1, "s", "f", 4, "hnsw", 1)), Loans.none(P), np.zeros(0, np.bool_)
    version = 0
    for size in batches:
        first = len(live)
        new = np.arange(first, first + size)
        moved = np.flatnonzero(live & (rng.random(first) < dead))
        space = space.without(moved, space_versions(space, moved))
        vectors[moved] = vectors[moved][:, ::-1]
        changed = np.concatenate((moved, new))
        space = space.put(changed, np.arange(version, version + len(changed)), vectors[changed])
        version += len(changed)
        live = np.append(live & (rng.random(first) >= dead), np.ones(size, np.bool_))
        warm, cold = live & said[: len(live)], live & ~said[: len(live)]
        loans = loans.changed(Centred(Centre(np.zeros(4), 1), space), warm, cold, changed)
        assert loans.cold.tolist() == np.flatnonzero(cold).tolist()
        for row in loans.cold:
            nearest = sorted(np.flatnonzero(warm), key=lambda other: -float(vectors[other] @ vectors[row]))[:P]
            assert loans.lenders_of(int(row)).tolist() == sorted(nearest)
        for row in np.flatnonzero(warm):
            assert len(loans.lenders_of(int(row))) == 0


def space_versions(space: VectorSpace, numbers: Rows) -> Rows:
    memory = space.memories[-1]
    return memory.versions[memory.locate(numbers)]


def test_nobody_lends_a_mean_of_zero() -> None:
    loans = Loans(np.array([1]), np.full((1, P), NOBODY, np.int32), np.array([-np.inf], np.float32))
    assert loans.means(np.array([5.0, 7.0])).tolist() == [0.0]
