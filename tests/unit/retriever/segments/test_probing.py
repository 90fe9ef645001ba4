import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap
from tests.unit.retriever.segments.sealing import nearest, recall, seal, topics, unit

from retriever.allowed import Allowed
from retriever.items import Rows
from retriever.segments.clusters import Clusters
from retriever.segments.probing import LEAST_PROMISING, NEAR, chosen, near
from retriever.segments.sealed import COUNTED, Sealed

ROWS, DIM = 17_000, 32
VECTORS = topics(ROWS, DIM)
NUMBERS = np.random.default_rng(3).permutation(ROWS)
QUERIES = topics(40, DIM, seed=4)


@pytest.fixture(scope="module", params=["hnsw", "ivf-sq8"])
def segment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Sealed:
    return seal(tmp_path_factory.mktemp("sealed"), VECTORS, NUMBERS, request.param)


def clusters(sizes: Rows) -> Clusters:
    centroids = unit(np.random.default_rng(len(sizes)).standard_normal((len(sizes), 8)).astype(np.float32))
    return Clusters(centroids, np.concatenate(([0], np.cumsum(sizes))))


def of(segment: Sealed, kept: Rows) -> Allowed:
    return Allowed(BitMap(segment.numbers[kept].tolist()))


@given(sizes=st.lists(st.integers(0, 50), min_size=1, max_size=40), share=st.floats(0, 1), seed=st.integers(0, 2**32))
def test_the_chosen_clusters_have_allowed_rows_and_are_no_more_than_needed(sizes: list[int], share: float, seed: int) -> None:
    rng, each = np.random.default_rng(seed), np.array(sizes)
    counts, queries = rng.integers(0, each + 1), unit(rng.standard_normal((5, 8)).astype(np.float32))
    held = clusters(each)
    lists, likeness = chosen(held, held.likeness(queries), counts, share)
    rows, most = share * sum(sizes), counts.sum() * (1 if share == 1 else 1 - LEAST_PROMISING)
    assert lists.shape == likeness.shape
    for of_one, similar, query in zip(lists, likeness, queries, strict=True):
        taken = of_one[of_one >= 0]
        assert (of_one[len(taken) :] == -1).all()
        assert len(set(taken.tolist())) == len(taken)
        assert (counts[taken] > 0).all()
        assert each[taken[:-1]].sum() < max(rows, 1)
        assert counts[taken[:-1]].sum() < max(most, 1)
        assert each[taken].sum() >= min(rows, each[counts > 0].sum()) or counts[taken].sum() >= most
        assert similar[: len(taken)] == pytest.approx(held.centroids[taken] @ query, abs=1e-5)


def test_among_equally_near_clusters_the_fuller_is_looked_into_first() -> None:
    same = np.repeat(unit(np.ones((1, 8), np.float32)), 3, axis=0)
    held = Clusters(same, np.array([0, 100, 200, 300]))
    lists, _ = chosen(held, held.likeness(same[:1]), np.array([5, 90, 40]), 1.0)
    assert lists.tolist() == [[1, 2, 0]]


def test_the_clusters_nearest_to_a_query_tell_how_much_is_allowed_there() -> None:
    of_each, sizes = np.arange(20), np.full(20, 20)
    held = clusters(sizes)
    nearest_first = np.argsort(-(held.centroids[3] @ held.centroids.T))[:NEAR]
    assert near(held, held.likeness(held.centroids[3:4]), of_each) == pytest.approx([of_each[nearest_first].mean() / 20])
    assert near(clusters(sizes[:1]), np.ones((2, 1), np.float32), np.array([5])).tolist() == [0.25, 0.25]


def test_allowed_rows_are_counted_where_they_lie(segment: Sealed) -> None:
    starts = segment.clusters.starts
    few = np.random.default_rng(1).choice(ROWS, ROWS // 20, replace=False)
    assert segment.spread(of(segment, few)).tolist() == np.histogram(few, starts)[0].tolist()
    many = np.flatnonzero(np.arange(ROWS) < 9_000)
    counted, exact = segment.spread(of(segment, many)), np.histogram(many, starts)[0]
    assert np.abs(counted - exact).max() <= 2 * COUNTED
    assert (counted > 0).all()


def test_the_count_is_kept_as_long_as_the_filter_is(segment: Sealed) -> None:
    allowed = of(segment, np.arange(100))
    assert segment.spread(allowed) is segment.spread(allowed)
    assert len(segment._spreads) == 1
    del allowed
    assert len(segment._spreads) == 0


def test_a_part_of_the_rows_finds_most_and_all_of_them_nearly_everything(segment: Sealed) -> None:
    kept = np.random.default_rng(2).choice(ROWS, ROWS // 12, replace=False)
    truth = nearest(QUERIES, segment.vectors[kept], segment.numbers[kept], 10)
    likeness = segment.clusters.likeness(QUERIES)
    found = {share: segment.scan(QUERIES, 10, of(segment, kept), likeness, share)[1] for share in (0.1, 0.4, 1.0)}
    recalls = [recall(numbers, truth) for numbers in found.values()]
    assert recalls == sorted(recalls)
    assert recalls[-1] >= 0.99
    assert all(np.isin(numbers[numbers >= 0], segment.numbers[kept]).all() for numbers in found.values())
    assert segment.scan(QUERIES[:0], 10, of(segment, kept), likeness[:0], 0.4)[1].shape == (0, 10)
