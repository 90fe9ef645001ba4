"""How near the student is to the teacher on texts it was not trained on. Knows embeddings, nothing of models."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NEIGHBOURS = 10

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Nearness:
    """Mean and 5th percentile of the cosine of both embeddings of a text, and the mean share of equal `NEIGHBOURS` nearest texts."""

    cosine: float
    low_cosine: float
    overlap: float

    def __str__(self) -> str:
        return f"cosine {self.cosine:.4f} (5th percentile {self.low_cosine:.4f}), top-{NEIGHBOURS} overlap {self.overlap:.4f}"


def nearness(student: Array, teacher: Array) -> Nearness:
    """Both `(n, dim)` and unit-length, in the same order, more than `NEIGHBOURS` of them."""
    cosines = (student * teacher).sum(1)
    ours, theirs = neighbours(student), neighbours(teacher)
    shared = [len(set(mine) & set(its)) / NEIGHBOURS for mine, its in zip(ours.tolist(), theirs.tolist(), strict=True)]
    return Nearness(float(cosines.mean()), float(np.percentile(cosines, 5)), float(np.mean(shared)))


def neighbours(embeddings: Array) -> NDArray[np.int64]:
    """For each row the places of the `NEIGHBOURS` rows nearest by cosine, itself left out, in no order."""
    if len(embeddings) <= NEIGHBOURS:
        raise ValueError(f"{len(embeddings)} texts have no {NEIGHBOURS} neighbours each; give more.")
    similarities = embeddings @ embeddings.T
    np.fill_diagonal(similarities, -np.inf)
    return np.argpartition(-similarities, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
