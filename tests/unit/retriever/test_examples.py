import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retriever.errors import EmbeddingInvalid
from retriever.examples import query_of
from retriever.items import Floats


def units(rng: np.random.Generator, count: int) -> Floats:
    vectors = rng.standard_normal((count, 5))
    made: Floats = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return made


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(0, 4))
def test_no_other_query_separates_the_examples_better(seed: int, liked: int, disliked: int) -> None:
    rng = np.random.default_rng(seed)
    positive, negative, others = units(rng, liked), units(rng, disliked), units(rng, 50)

    def separation(queries: Floats) -> Floats:
        apart: Floats = (queries @ positive.T).mean(axis=1)
        return apart - (queries @ negative.T).mean(axis=1, dtype=np.float32) if disliked else apart

    query = query_of(positive, negative)
    assert np.linalg.norm(query) == pytest.approx(1, abs=1e-5)
    assert separation(query[np.newaxis])[0] >= separation(others).max() - 1e-5


def test_negative_examples_alone_ask_for_the_opposite() -> None:
    assert query_of(np.empty((0, 2), np.float32), np.array([[0, 1]], np.float32)).tolist() == [0, -1]


def test_examples_that_cancel_each_other_are_refused() -> None:
    one = np.array([[0.6, 0.8]], np.float32)
    with pytest.raises(EmbeddingInvalid, match="the same mean"):
        query_of(one, one)
