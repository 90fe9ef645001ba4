from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap
from tests.unit.retriever.segments.sealing import nearest, recall, seal, topics

from retriever.allowed import Allowed
from retriever.segments.clusters import LEAST_ROWS
from retriever.segments.kinds import KINDS
from retriever.segments.scan import MANY_QUERIES
from retriever.segments.sealed import Sealed

ROWS, DIM = 20_000, 64
QUERIES = topics(60, DIM, seed=1)
VECTORS = topics(ROWS, DIM)
NUMBERS = np.random.default_rng(2).permutation(2 * ROWS)[:ROWS]


@pytest.fixture(scope="module", params=sorted(KINDS))
def segment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Sealed:
    return seal(tmp_path_factory.mktemp("sealed"), VECTORS, NUMBERS, request.param)


@pytest.fixture(scope="module")
def scattered(tmp_path_factory: pytest.TempPathFactory) -> Sealed:
    """Numbers so far apart that no table of them is kept."""
    return seal(tmp_path_factory.mktemp("scattered"), VECTORS[:500], NUMBERS[:500] * 1_000_003)


def test_a_segment_holds_what_the_catalogue_held(segment: Sealed) -> None:
    rows = segment.locate(NUMBERS)
    assert len(segment) == ROWS
    assert (segment.vectors[rows] == VECTORS).all()
    assert (segment.versions[rows] == 1 + 2 * np.arange(ROWS)).all()
    assert segment.moments.count == ROWS
    assert segment.moments.total == pytest.approx(VECTORS.sum(axis=0, dtype=np.float64))


def test_its_vectors_can_be_multiplied_without_a_copy(segment: Sealed) -> None:
    assert segment.vectors.flags.aligned
    assert segment.vectors.flags.c_contiguous
    assert segment.vectors.ctypes.data % 64 == 0
    assert not segment.vectors.flags.writeable


def test_every_kind_finds_nearly_all_neighbours_with_its_own_effort(segment: Sealed) -> None:
    scores, found = segment.search(QUERIES, 10, segment.effort(10))
    assert recall(found, nearest(QUERIES, VECTORS, NUMBERS, 10)) >= 0.98
    expected = np.einsum("qd,qnd->qn", QUERIES, segment.vectors[segment.locate(found.ravel())].reshape(*found.shape, DIM))
    assert scores == pytest.approx(expected, abs=1e-5)
    assert (np.diff(scores, axis=1) <= 0).all()


def test_more_than_there_is_fills_up_with_nothing(scattered: Sealed) -> None:
    scores, found = scattered.search(QUERIES[:2], 600, 600)
    assert found.shape == (2, 600)
    assert sorted(found[0, :500].tolist()) == sorted(scattered.numbers.tolist())
    assert (found[:, 500:] == -1).all()
    assert np.isneginf(scores[:, 500:]).all()


def test_numbers_that_are_not_there_have_no_row(segment: Sealed, scattered: Sealed) -> None:
    for held in (segment, scattered):
        absent = np.setdiff1d(np.arange(held.numbers.min() - 5, held.numbers.min() + 4_000), held.numbers)
        assert (held.locate(np.concatenate((absent, [-1, 2**32, held.numbers.max() + 1]))) == -1).all()
        assert (held.locate(np.asarray(held.numbers)) == np.arange(len(held))).all()


@given(share=st.sampled_from([0.0, 0.0005, 0.05, 0.6, 1.0]), many=st.booleans(), seed=st.integers(0, 2**32))
def test_an_exact_scan_is_the_sorted_list_of_the_allowed(segment: Sealed, share: float, many: bool, seed: int) -> None:
    kept = np.random.default_rng(seed).random(ROWS) < share
    queries = QUERIES[: MANY_QUERIES + 1 if many else 2]
    scores, found = segment.exact(queries, 10, Allowed(BitMap(NUMBERS[kept].tolist())))
    expected = nearest(queries, VECTORS[kept], NUMBERS[kept], 10)
    assert found.shape == scores.shape == (len(queries), 10)
    assert (
        np.count_nonzero(found[:, : expected.shape[1]] != expected) <= 0.01 * expected.size
    )  # float64 may order near-equal pairs otherwise
    assert (found[:, expected.shape[1] :] == -1).all()
    assert np.sort(found[:, : expected.shape[1]]).tolist() == np.sort(expected).tolist()


def test_a_probed_scan_finds_only_what_is_allowed_and_most_of_it(segment: Sealed) -> None:
    kept = ROWS // 10
    allowed, truth = Allowed(BitMap(NUMBERS[:kept].tolist())), nearest(QUERIES, VECTORS[:kept], NUMBERS[:kept], 10)
    likeness = segment.clusters.likeness(QUERIES)
    _, part = segment.scan(QUERIES, 10, allowed, likeness, 0.6)
    scores, whole = segment.scan(QUERIES, 10, allowed, likeness, 1.0)
    assert allowed.has(part).all()
    assert recall(part, truth) > 0.9
    assert recall(whole, truth) > 0.98
    assert scores == pytest.approx(
        np.einsum("qd,qnd->qn", QUERIES, segment.vectors[segment.locate(whole.ravel())].reshape(60, 10, DIM)), abs=1e-5
    )


def test_equal_vectors_are_ordered_by_number_wherever_they_lie(tmp_path: Path) -> None:
    vectors = np.repeat(VECTORS[:7], 40, axis=0)
    numbers = np.random.default_rng(0).permutation(280)
    segment = seal(tmp_path, vectors, numbers)
    for queries in (VECTORS[:1], np.repeat(VECTORS[:1], MANY_QUERIES, axis=0)):
        _, found = segment.exact(queries, 10, Allowed(BitMap(range(280))))
        assert found[0].tolist() == sorted(numbers[:40].tolist())[:10]


def test_rows_lie_by_cluster_so_that_neighbours_share_pages(segment: Sealed) -> None:
    assert ROWS >= LEAST_ROWS
    assert len(segment.clusters) == ROWS // 1_000
    own = (VECTORS @ segment.clusters.centroids.T).argmax(axis=1)
    bounds = segment.clusters.starts
    of_row = np.repeat(np.arange(len(segment.clusters)), np.diff(bounds))
    assert (of_row[segment.locate(NUMBERS)] == own).mean() > 0.999  # a tie may round either way
