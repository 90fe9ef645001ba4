"""The popularity prior: one score per item. Knows nothing of users beyond how many items each touched."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.interactions import Interactions

MIN_TOUCHED = 6
"""Users with fewer items are not counted: they mostly came for the one book everybody has, and say little of taste."""


def scores(interactions: Interactions) -> NDArray[np.float64]:
    """`(n_items,)`: how many users with at least MIN_TOUCHED items touched the item; all users count where nobody has as many."""
    per_user = np.asarray(interactions.matrix.sum(axis=1)).ravel()
    counted = per_user >= MIN_TOUCHED
    if not counted.any():
        counted[:] = True
    return np.asarray(interactions.matrix.T @ counted.astype(np.float64)).ravel()


def rows(interactions: Interactions) -> Iterator[dict[str, Any]]:
    """The rows of the `popular` space."""
    for item, score in zip(interactions.items, scores(interactions), strict=True):
        yield {"id": item, "score": float(score)}
