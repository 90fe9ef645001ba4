"""Embeddings are cut where the model was trained for that, and the cut space says that it is another."""

from dataclasses import replace

import numpy as np
import pytest

from encoder import matryoshka
from encoder.errors import DimensionUnsupported, EmbeddingBroken
from encoder.fingerprint import Identity

WHOLE = Identity("m", "ab" * 32, "fp32", "mean", "l2", "", 4, 256, backend="onnx", dimensions=(2, 3))


def test_a_cut_embedding_is_the_first_numbers_at_unit_length() -> None:
    rows = np.array([[0.6, 0.0, 0.8, 0.0], [0.1, 0.7, 0.1, 0.7]], np.float32)
    cut = matryoshka.cut(rows, 2)
    assert cut.dtype == np.float32
    assert np.allclose(cut, [[1, 0], [0.1 / 0.5**0.5, 0.7 / 0.5**0.5]])
    assert matryoshka.cut(rows, 4) is rows


def test_an_embedding_whose_first_numbers_are_0_can_not_be_cut() -> None:
    rows = np.array([[1, 0, 0, 0], [0, 0, 0, 1]], np.float32)
    with pytest.raises(EmbeddingBroken, match="first 2 numbers of the embedding of passage 1"):
        matryoshka.cut(rows, 2)


def test_a_cut_space_is_another_one_and_says_so() -> None:
    cut = matryoshka.space(WHOLE, 2)
    assert cut.fingerprint.startswith("m/fp32/mean/l2-of-4/2/256/")
    native = replace(WHOLE, dimension=2)
    assert len({WHOLE.fingerprint, cut.fingerprint, matryoshka.space(WHOLE, 3).fingerprint, native.fingerprint}) == 4
    assert cut.dimensions == ()


def test_the_whole_space_is_itself() -> None:
    assert matryoshka.space(WHOLE, None) is matryoshka.space(WHOLE, 4) is WHOLE


@pytest.mark.parametrize(
    ("identity", "telling"), [(WHOLE, "have 4 numbers, or cut to 2, 3, not 5"), (replace(WHOLE, dimensions=()), "have 4 numbers, not 5")]
)
def test_another_dimension_is_refused(identity: Identity, telling: str) -> None:
    with pytest.raises(DimensionUnsupported, match=telling):
        matryoshka.space(identity, 5)
