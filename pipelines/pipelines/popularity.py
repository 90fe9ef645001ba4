"""The popularity prior: one score per item. Knows nothing of users beyond how many items each touched."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.interactions import Interactions

LIST_LENGTH = 20


def scores(interactions: Interactions) -> NDArray[np.float64]:
    """`(n_items,)`: interactions, each counted 1 / min(20, items of its user).

    Of all orders that are the same for everybody, the one by this score has the highest expected recall@20, because recall@20 of a
    fixed list is a sum over its items of exactly this weight.
    """
    per_user = np.asarray(interactions.matrix.sum(axis=1)).ravel()
    return np.asarray(interactions.matrix.T @ (1 / np.clip(per_user, 1, LIST_LENGTH))).ravel().astype(np.float64)


def rows(interactions: Interactions) -> Iterator[dict[str, Any]]:
    """The rows of the `popular` space: log(1 + score), because popularity is heavy-tailed and is fused as a standard score."""
    for item, score in zip(interactions.items, np.log1p(scores(interactions)), strict=True):
        yield {"id": item, "score": round(float(score), 6)}
