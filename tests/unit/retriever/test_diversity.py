import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from retriever.diversity import marginal_relevance
from retriever.items import Doubles, Floats


def case(seed: int, count: int) -> tuple[Doubles, Floats]:
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((count, 4))
    return np.sort(rng.uniform(-1, 1, count))[::-1], (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 15), st.floats(0, 1))
def test_each_pick_maximises_the_equation_of_the_paper(seed: int, count: int, k: int, trade: float) -> None:
    relevance, vectors = case(seed, count)
    picked = marginal_relevance(relevance, vectors, k, trade)
    assert len(picked) == len(set(picked)) == min(k, count)
    for at, place in enumerate(picked):

        def gain(candidate: int, before: list[int] = picked[:at]) -> float:
            likeness = max((float(vectors[candidate] @ vectors[other]) for other in before), default=0.0)
            return float(trade * relevance[candidate] - (1 - trade) * likeness)

        assert gain(place) >= max(gain(other) for other in range(count) if other not in picked[:at]) - 1e-6


def test_relevance_alone_keeps_the_order_and_unlikeness_alone_avoids_twins() -> None:
    relevance, vectors = np.array([0.9, 0.8, 0.1]), np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    assert marginal_relevance(relevance, vectors, 3, 1) == [0, 1, 2]
    assert marginal_relevance(relevance, vectors, 2, 0) == [0, 2]


def test_an_item_without_a_vector_is_unlike_all_others() -> None:
    relevance, vectors = np.array([0.9, 0.8, 0.7]), np.array([[1, 0], [1, 0], [np.nan, np.nan]], np.float32)
    assert marginal_relevance(relevance, vectors, 3, 0.5) == [0, 2, 1]
