"""Checks embeddings that are to be stored, and gives them exactly unit length. Knows nothing of where they go."""

from collections.abc import Sequence

import numpy as np

from retriever.errors import EmbeddingInvalid
from retriever.items import Floats

UNIT_TOLERANCE = 1e-3
"""What is forgiven of the length of what is sent."""
ROUNDING = 2e-7
"""How far float32 takes the length of a unit vector from 1: within it a vector is stored bit by bit as it came, so that it can be moved
from store to store and stay the same."""


def units(ids: Sequence[str], embeddings: Floats, dimension: int) -> Floats:
    """`(len(ids), dimension)` float32 of length 1. Raises EmbeddingInvalid, naming the item, for another dimension or length."""
    if len(ids) and embeddings.shape[1] != dimension:
        raise EmbeddingInvalid(
            f"The embedding of item {ids[0]!r} has {embeddings.shape[1]} numbers, the space has {dimension}; "
            "embed all items with one encoder. Nothing was stored."
        )
    wide = embeddings.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):  # an infinite length is refused below
        lengths = np.sqrt(np.einsum("nd,nd->n", wide, wide))
    wrong = np.flatnonzero(~(np.abs(lengths - 1.0) <= UNIT_TOLERANCE))
    if len(wrong):
        raise EmbeddingInvalid(
            f"The embedding of item {ids[wrong[0]]!r} has the length {lengths[wrong[0]]:.6g}; "
            "send embeddings of length 1 (the encoder's are). Nothing was stored."
        )
    scale = np.where(np.abs(lengths - 1.0) <= ROUNDING, 1.0, lengths)
    if (scale == 1.0).all():
        return embeddings.astype(np.float32, copy=False)
    scaled: Floats = (wide / scale[:, np.newaxis]).astype(np.float32)
    return scaled
