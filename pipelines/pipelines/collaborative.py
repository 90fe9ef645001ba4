"""Item-to-item neighbours from interactions: EASE, and cosine co-occurrence where EASE no longer fits. Knows nothing of text."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse

from pipelines.interactions import Interactions

Weights = NDArray[np.float32]
REGULARISATION = 5_000.0
NEIGHBOURS = 300
EASE_LIMIT = 20_000
"""Items. EASE inverts a dense matrix: at 20,000 items 1.6 GB a copy and some minutes; beyond, cosine co-occurrence takes over."""


def ease(gram: NDArray[np.float64], regularisation: float) -> Weights:
    """EASE item-item weights `(n_items, n_items)` float32, zero diagonal (Steck 2019, equation 8); `gram` is X'X, float64.

    `W[i, j]` is what a touch of item i adds to the score of item j.
    """
    inverse = linalg.inv(gram + regularisation * np.eye(len(gram)), overwrite_a=True, check_finite=False)
    weights: Weights = (inverse / -np.diag(inverse)).astype(np.float32)
    np.fill_diagonal(weights, 0)
    return weights


def cosine(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    """Cosine of co-occurrence: c_ij / sqrt(c_i c_j), float32 CSR `(n_items, n_items)` without its diagonal."""
    together = (matrix.T @ matrix).tocsr()
    scale = sparse.diags(1 / np.sqrt(np.maximum(together.diagonal(), 1)))
    weights = (scale @ together @ scale).tolil()
    weights.setdiag(0)
    return weights.tocsr().astype(np.float32)


def strongest(row: NDArray[np.float32], limit: int) -> NDArray[np.int64]:
    """Positions of the `limit` largest magnitudes of `row` that are not zero, strongest first."""
    size = np.abs(row)
    kept = np.argpartition(-size, limit)[:limit] if limit < len(row) else np.arange(len(row))
    kept = kept[size[kept] > 0]
    return kept[np.argsort(-size[kept], kind="stable")]


def rows(interactions: Interactions) -> Iterator[dict[str, Any]]:
    """The rows of the `collaborative` space: for each item the items it speaks for, with weights."""
    weights: Weights | sparse.csr_matrix
    if len(interactions.items) <= EASE_LIMIT:
        weights = ease((interactions.matrix.T @ interactions.matrix).toarray().astype(np.float64), REGULARISATION)
    else:
        weights = cosine(interactions.matrix)
    for position, item in enumerate(interactions.items):
        row = weights[position] if isinstance(weights, np.ndarray) else weights[position].toarray().ravel()
        kept = strongest(row, NEIGHBOURS)
        yield {"id": item, "neighbours": [[interactions.items[other], round(float(row[other]), 6)] for other in kept]}
