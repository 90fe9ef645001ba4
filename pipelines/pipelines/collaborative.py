"""Item-to-item neighbours from interactions and text: EASE with dropout, or cosine co-occurrence where its dense inverse no longer fits.

Knows nothing of where interactions and embeddings come from. Every constant was chosen by recall on users that are not reported
(docs/quality.md).
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import lapack

from pipelines.interactions import Interactions

Matrix = NDArray[np.float32]

RIDGE, TEXT = 8.0, 0.09
"""L2 regularisation and weight of the text similarity, both as multiples of the mean diagonal of the Gram matrix, so that they carry over
to catalogues with more or fewer events."""
DROPOUT = 0.95
"""Probability with which training forgets a touched item; makes one matrix right for one liked item as for ten."""
NEIGHBOURS = 200
EASE_LIMIT = 20_000
"""Items. The inverse is dense: at 20,000 items 1.6 GB a copy and some minutes; beyond, cosine co-occurrence takes over."""


def gram(matrix: sparse.csr_matrix) -> Matrix:
    """X' D X with D = 1 / sqrt(items of the user): `(n_items, n_items)` float32; long histories count less per item."""
    per_user = np.maximum(np.asarray(matrix.sum(axis=1)).ravel(), 1)
    scaled = sparse.diags((per_user**-0.25).astype(np.float32)) @ matrix
    product: Matrix = (scaled.T @ scaled).toarray().astype(np.float32)
    return product


def centred(embeddings: Matrix) -> Matrix:
    """Embeddings `(n, dim)` without what they all share, unit length again: two items are alike when both differ from the rest alike."""
    moved = embeddings - embeddings.mean(axis=0)
    unit: Matrix = (moved / np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-9)).astype(np.float32)
    return unit


def ease(together: Matrix, texts: Matrix | None = None) -> Matrix:
    """Item-item weights `(n_items, n_items)` float32 with a zero diagonal; `W[i, j]` is what a touch of item i adds to item j.

    EASE (Steck 2019, equation 8) with the dropout term of EDLAE (Steck 2020, section 3): the closed-form solution of predicting each
    item from the others when each touch is forgotten with probability DROPOUT. `texts` are unit rows `(n_items, dim)`; their cosines
    join the Gram matrix, so that items without common readers can still be neighbours.
    """
    diagonal = np.diag(together).copy()
    scale = float(diagonal.mean())
    system = np.array(together, np.float32, order="F")
    if texts is not None:
        system += (TEXT * scale) * (texts @ texts.T)
    system[np.diag_indices_from(system)] += RIDGE * scale + DROPOUT / (1 - DROPOUT) * diagonal
    factor, failed = lapack.spotrf(system, lower=1, overwrite_a=1)
    inverse, failed_too = lapack.spotri(factor, lower=1, overwrite_c=1)
    if failed or failed_too:
        raise ArithmeticError(f"The Gram matrix of {len(system)} items is not positive definite; check the events for NaN.")
    lower = np.tril(inverse)
    weights: Matrix = lower + np.tril(inverse, -1).T
    weights /= -np.diag(weights)[np.newaxis, :].copy()
    np.fill_diagonal(weights, 0)
    return weights


def cosine(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    """Cosine of co-occurrence: c_ij / sqrt(c_i c_j), float32 CSR `(n_items, n_items)` without its diagonal."""
    together = (matrix.T @ matrix).tocsr()
    scale = sparse.diags(1 / np.sqrt(np.maximum(together.diagonal(), 1)))
    weights = (scale @ together @ scale).tocsr().astype(np.float32)
    weights.setdiag(0)
    weights.eliminate_zeros()
    return weights


def strongest(row: Matrix, limit: int) -> NDArray[np.int64]:
    """Positions of the `limit` largest positive weights of `row`, strongest first."""
    kept = np.argpartition(-row, limit)[:limit] if limit < len(row) else np.arange(len(row))
    kept = kept[row[kept] > 0]
    return kept[np.argsort(-row[kept], kind="stable")]


def rows(interactions: Interactions, embeddings: Matrix | None) -> Iterator[dict[str, Any]]:
    """The rows of the `collaborative` space: for each item the items it speaks for, with weights.

    `embeddings` `(n_items, dim)` float32 are the items' own, in the order of `interactions.items`; None leaves text out.
    """
    weights: Matrix | sparse.csr_matrix
    if len(interactions.items) <= EASE_LIMIT:
        weights = ease(gram(interactions.matrix), None if embeddings is None else centred(embeddings))
    else:
        weights = cosine(interactions.matrix)
    for position, item in enumerate(interactions.items):
        row = weights[position] if isinstance(weights, np.ndarray) else weights[position].toarray().ravel()
        kept = strongest(row, NEIGHBOURS)
        yield {"id": item, "neighbours": [[interactions.items[other], round(float(row[other]), 6)] for other in kept]}
