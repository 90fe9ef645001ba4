"""Item-to-item neighbours."""

import numpy as np
import pytest
from scipy import sparse

from pipelines import collaborative
from pipelines.interactions import Interactions


def random_shelves(users: int = 80, items: int = 12) -> sparse.csr_matrix:
    random = np.random.default_rng(5)
    return sparse.csr_matrix((random.random((users, items)) < 0.3).astype(np.float32))


def test_ease_solves_the_penalised_regression_it_is_defined_by() -> None:
    """Each column predicts one item from all others; dropout is a ridge that grows with the item's own count (Steck 2020)."""
    random = np.random.default_rng(6)
    matrix = random_shelves()
    together = collaborative.gram(matrix)
    texts = collaborative.centred(random.normal(size=(matrix.shape[1], 4)).astype(np.float32))
    weights = collaborative.ease(together, texts)
    diagonal = np.diag(together).astype(np.float64)
    system = together + collaborative.TEXT * diagonal.mean() * texts @ texts.T
    penalty = collaborative.RIDGE * diagonal.mean() + collaborative.DROPOUT / (1 - collaborative.DROPOUT) * diagonal
    for item in range(len(system)):
        others = np.delete(np.arange(len(system)), item)
        normal = system[np.ix_(others, others)] + np.diag(penalty[others])
        assert weights[others, item] == pytest.approx(np.linalg.solve(normal, system[others, item]), abs=1e-4)
        assert weights[item, item] == 0


def test_long_histories_count_less_per_item() -> None:
    together = collaborative.gram(sparse.csr_matrix(np.array([[1, 1, 0, 0], [1, 1, 1, 1]], np.float32)))
    assert together[0, 1] == pytest.approx(2**-0.5 + 4**-0.5)
    assert together[2, 3] == pytest.approx(4**-0.5)


def test_text_makes_neighbours_of_items_that_share_no_reader() -> None:
    matrix = sparse.csr_matrix(np.kron(np.eye(4), np.ones((5, 1))).astype(np.float32))
    texts = np.array([[1, 0], [0.9, 0.1], [-1, 0], [-0.9, -0.1]], np.float32)
    without, with_texts = collaborative.ease(collaborative.gram(matrix)), collaborative.ease(collaborative.gram(matrix), texts)
    assert without[0, 1] == pytest.approx(0, abs=1e-6)
    assert with_texts[0, 1] > 0 > with_texts[0, 2]


def test_centred_embeddings_have_no_common_direction() -> None:
    random = np.random.default_rng(7)
    moved = collaborative.centred((random.normal(size=(50, 8)) + 3).astype(np.float32))
    assert np.linalg.norm(moved, axis=1) == pytest.approx(1, abs=1e-5)
    assert np.abs(moved.mean(axis=0)).max() < 0.2


def test_cosine_is_the_cosine_of_item_columns() -> None:
    matrix = random_shelves()
    dense = matrix.toarray()
    unit = dense / np.linalg.norm(dense, axis=0)
    expected = unit.T @ unit
    np.fill_diagonal(expected, 0)
    assert collaborative.cosine(matrix).toarray() == pytest.approx(expected, abs=1e-5)


def test_only_positive_weights_are_kept_the_strongest_first() -> None:
    row = np.array([0.1, -0.5, 0.0, 0.3], np.float32)
    assert collaborative.strongest(row, 1).tolist() == [3]
    assert collaborative.strongest(row, 10).tolist() == [3, 0]


@pytest.mark.parametrize("limit", [0, 100])
@pytest.mark.parametrize("with_text", [True, False])
def test_rows_name_known_items_and_never_the_item_itself(monkeypatch: pytest.MonkeyPatch, limit: int, with_text: bool) -> None:
    monkeypatch.setattr(collaborative, "EASE_LIMIT", limit)
    interactions = Interactions(random_shelves(), tuple("abcdefghijkl"))
    embeddings = np.random.default_rng(8).normal(size=(12, 4)).astype(np.float32) if with_text else None
    rows = list(collaborative.rows(interactions, embeddings))
    assert [row["id"] for row in rows] == list(interactions.items)
    for row in rows:
        others = [other for other, _ in row["neighbours"]]
        assert row["id"] not in others
        assert set(others) <= set(interactions.items)
