"""The popularity prior."""

import numpy as np
from scipy import sparse

from pipelines import popularity
from pipelines.interactions import Interactions


def shelves(*sizes: int) -> Interactions:
    """One user per size, who touched the first `size` items."""
    items = max(sizes)
    matrix = sparse.csr_matrix(np.array([[1.0] * size + [0.0] * (items - size) for size in sizes], np.float32))
    return Interactions(matrix, tuple(f"{item:02}" for item in range(items)))


def test_users_with_a_handful_of_items_are_not_counted() -> None:
    few, enough = popularity.MIN_TOUCHED - 1, popularity.MIN_TOUCHED
    assert popularity.scores(shelves(few, few, enough)).tolist() == [1.0] * enough


def test_where_nobody_has_enough_items_everybody_counts() -> None:
    assert popularity.scores(shelves(1, 2, 3)).tolist() == [3, 2, 1]


def test_rows_name_every_item_once() -> None:
    rows = list(popularity.rows(shelves(8, 7)))
    assert [row["id"] for row in rows] == [f"{item:02}" for item in range(8)]
    assert [row["score"] for row in rows] == [2.0] * 7 + [1.0]
