"""What a usable embedding is, and the passage that proves an encoder gives one. Knows nothing of models."""

import numpy as np
from numpy.typing import NDArray

CANARY = "A tale of two cities"
TOLERANCE = 1e-3
"""How far from 1 the length of a usable embedding may be."""


def unusable(embeddings: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which rows of `(n, dim)` are not unit length or not finite: bool `(n,)`."""
    with np.errstate(all="ignore"):
        lengths = np.linalg.norm(embeddings, axis=1)
        usable = np.abs(lengths - 1) <= TOLERANCE  # false for NaN and infinity too
    return ~np.asarray(usable, dtype=np.bool_)
