"""Cuts embeddings to their first numbers, where the model was trained for that. Knows nothing of requests.

Kusupati et al., "Matryoshka Representation Learning" (NeurIPS 2022): the first numbers of such an embedding, normalised again, are an
embedding of a smaller space.
"""

import numpy as np
from numpy.typing import NDArray

from encoder.canary import unusable
from encoder.errors import DimensionUnsupported, EmbeddingBroken
from encoder.fingerprint import Identity


def space(identity: Identity, dimension: int | None) -> Identity:
    """The space of embeddings of so many numbers, None for the whole ones; raises `DimensionUnsupported`."""
    if dimension is None or dimension == identity.dimension:
        return identity
    if dimension not in identity.dimensions:
        others = f", or cut to {', '.join(map(str, identity.dimensions))}" if identity.dimensions else ""
        raise DimensionUnsupported(
            f"Embeddings of {identity.model} have {identity.dimension} numbers{others}, not {dimension}; ask for one of these "
            "or leave `dimensions` out."
        )
    return identity.cut(dimension)


def cut(embeddings: NDArray[np.float32], dimension: int) -> NDArray[np.float32]:
    """The first `dimension` numbers of each row of `(n, dim)`, of unit length again; raises `EmbeddingBroken` where all of them are 0."""
    if dimension == embeddings.shape[1]:
        return embeddings
    short: NDArray[np.float32] = embeddings[:, :dimension].copy()
    with np.errstate(invalid="ignore"):
        short /= np.linalg.norm(short, axis=1, keepdims=True)
    if (broken := unusable(short)).any():
        raise EmbeddingBroken(f"The first {dimension} numbers of the embedding of passage {int(broken.argmax())} have no direction.")
    return short
