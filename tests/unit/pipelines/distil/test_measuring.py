"""How near two sets of embeddings are."""

import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.distil.measuring import NEIGHBOURS, nearness, neighbours


def _units(count: int, seed: int) -> NDArray[np.float32]:
    rows = np.random.default_rng(seed).standard_normal((count, 16)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def test_the_same_embeddings_are_as_near_as_can_be() -> None:
    rows = _units(60, 1)
    found = nearness(rows, rows)
    assert found.cosine == pytest.approx(1, abs=1e-6)
    assert found.overlap == 1


def test_unrelated_embeddings_share_neighbours_by_chance_only() -> None:
    found = nearness(_units(400, 1), _units(400, 2))
    assert abs(found.cosine) < 0.1
    assert found.overlap < 0.1


def test_turning_both_axes_keeps_the_overlap_but_not_the_cosine() -> None:
    rows = _units(100, 3)
    found = nearness(-rows, rows)
    assert found.cosine == pytest.approx(-1, abs=1e-6)
    assert found.overlap == 1


def test_no_text_is_its_own_neighbour() -> None:
    rows = _units(40, 4)
    assert all(place not in row for place, row in enumerate(neighbours(rows).tolist()))


def test_too_few_texts_are_refused() -> None:
    with pytest.raises(ValueError, match="give more"):
        neighbours(_units(NEIGHBOURS, 5))
