"""The popularity prior."""

import itertools

import numpy as np
import pytest
from scipy import sparse

from pipelines import popularity
from pipelines.evaluate import metrics
from pipelines.interactions import Interactions


def shelves(random: np.random.Generator, items: int) -> Interactions:
    matrix = sparse.csr_matrix((random.random((60, items)) < random.random((60, 1))).astype(np.float32))
    return Interactions(matrix, tuple(f"{item:02}" for item in range(items)))


def test_no_other_fixed_list_has_a_higher_recall_on_the_same_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(popularity, "LIST_LENGTH", 3)
    interactions = shelves(np.random.default_rng(3), items=8)
    users = [{interactions.items[i] for i in row.indices} for row in interactions.matrix if row.nnz]

    def mean_recall(ranking: tuple[str, ...]) -> float:
        return float(np.mean([metrics.recall(ranking, targets, 3) for targets in users]))

    ours = tuple(interactions.items[i] for i in np.argsort(-popularity.scores(interactions))[:3])
    assert mean_recall(ours) >= max(map(mean_recall, itertools.combinations(interactions.items, 3))) - 1e-9


def test_rows_name_every_item_once_with_a_finite_score() -> None:
    interactions = shelves(np.random.default_rng(4), items=5)
    rows = list(popularity.rows(interactions))
    assert [row["id"] for row in rows] == list(interactions.items)
    assert all(0 <= row["score"] < 10 for row in rows)
