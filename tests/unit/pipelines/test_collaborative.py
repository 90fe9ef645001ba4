"""Item-to-item neighbours."""

import numpy as np
import pytest
from scipy import sparse

from pipelines import collaborative
from pipelines.interactions import Interactions


def random_shelves(users: int = 80, items: int = 12) -> sparse.csr_matrix:
    random = np.random.default_rng(5)
    return sparse.csr_matrix((random.random((users, items)) < 0.3).astype(np.float32))


def test_ease_solves_the_ridge_regression_it_is_defined_by() -> None:
    """Each column regresses one item on all others (Steck 2019, equation 3, with the diagonal constrained to zero)."""
    matrix, regularisation = random_shelves(), 7.0
    dense = matrix.toarray().astype(np.float64)
    weights = collaborative.ease(dense.T @ dense, regularisation)
    for item in range(dense.shape[1]):
        others = np.delete(dense, item, axis=1)
        expected = np.linalg.solve(others.T @ others + regularisation * np.eye(others.shape[1]), others.T @ dense[:, item])
        assert np.delete(weights[:, item], item) == pytest.approx(expected, abs=1e-5)
        assert weights[item, item] == 0


def test_cosine_is_the_cosine_of_item_columns() -> None:
    matrix = random_shelves()
    dense = matrix.toarray()
    unit = dense / np.linalg.norm(dense, axis=0)
    expected = unit.T @ unit
    np.fill_diagonal(expected, 0)
    assert collaborative.cosine(matrix).toarray() == pytest.approx(expected, abs=1e-5)


def test_the_strongest_neighbours_are_kept_whatever_their_sign() -> None:
    row = np.array([0.1, -0.5, 0.0, 0.3], np.float32)
    assert collaborative.strongest(row, 2).tolist() == [1, 3]
    assert collaborative.strongest(row, 10).tolist() == [1, 3, 0]


@pytest.mark.parametrize("limit", [0, 100])
def test_rows_name_known_items_and_never_the_item_itself(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    monkeypatch.setattr(collaborative, "EASE_LIMIT", limit)
    interactions = Interactions(random_shelves(), tuple("abcdefghijkl"))
    rows = list(collaborative.rows(interactions))
    assert [row["id"] for row in rows] == list(interactions.items)
    for row in rows:
        others = [other for other, _ in row["neighbours"]]
        assert row["id"] not in others
        assert set(others) <= set(interactions.items)
