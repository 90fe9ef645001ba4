"""Checks embeddings that are to be stored, and gives them exactly unit length. Knows nothing of where they go."""

from collections.abc import Sequence

import numpy as np

from retriever.errors import EmbeddingInvalid
from retriever.items import Floats

UNIT_TOLERANCE = 1e-3


def units(ids: Sequence[str], embeddings: Floats, dimension: int) -> Floats:
    """`(len(ids), dimension)` float32 of length 1. Raises EmbeddingInvalid, naming the item, for another dimension or length."""
    if len(ids) and embeddings.shape[1] != dimension:
        raise EmbeddingInvalid(
            f"The embedding of item {ids[0]!r} has {embeddings.shape[1]} numbers, the space has {dimension}; "
            "embed all items with one encoder. Nothing was stored."
        )
    wide = embeddings.astype(np.float64)
    lengths = np.sqrt(np.square(wide).sum(axis=1))
    wrong = np.flatnonzero(~(np.abs(lengths - 1.0) <= UNIT_TOLERANCE))
    if len(wrong):
        raise EmbeddingInvalid(
            f"The embedding of item {ids[wrong[0]]!r} has the length {lengths[wrong[0]]:.6g}; "
            "send embeddings of length 1 (the encoder's are). Nothing was stored."
        )
    scaled: Floats = (wide / lengths[:, np.newaxis]).astype(np.float32)
    return scaled
