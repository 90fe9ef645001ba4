"""How near the embeddings of a prepared model are to those of the model in fp32, and whether that is near enough. Knows no model."""

import gzip
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

SAMPLE = "sample.txt.gz"
CALIBRATION_LINES = 256
"""Of a sample's lines: the first ones show the quantiser what real inputs are; the gate is held over the others."""
LEAST_LINES = CALIBRATION_LINES + 256
MEAN_COSINE, OVERLAP = 0.99, 0.98
NEIGHBOURS = 10

Embeddings = NDArray[np.float32]


@dataclass(frozen=True)
class Nearness:
    """Cosines between the embeddings of the same passages, and the mean share of the ten nearest passages that are the same ten."""

    mean_cosine: float
    least_cosine: float
    cosine_percentiles: dict[str, float]
    overlap: float
    passages: int

    @property
    def passes(self) -> bool:
        return self.mean_cosine >= MEAN_COSINE and self.overlap >= OVERLAP

    def __str__(self) -> str:
        return f"mean cosine {self.mean_cosine:.5f} (goal {MEAN_COSINE}), top-{NEIGHBOURS} overlap {self.overlap:.4f} (goal {OVERLAP})"


def compare(reference: Embeddings, prepared: Embeddings) -> Nearness:
    """Both unit-length `(n, dim)`, n above ten. Ties count against the prepared model like any other difference."""
    cosines = (reference * prepared).sum(axis=1)
    percentiles = {f"p{share}": float(np.percentile(cosines, share)) for share in (1, 5, 50)}
    return Nearness(float(cosines.mean()), float(cosines.min()), percentiles, _overlap(reference, prepared), len(cosines))


def sample() -> list[str]:
    """Passages of real books, as the gateway writes them: every fourth of the sample catalogue (CC BY-SA 4.0, see NOTICE)."""
    return gzip.decompress(files(__package__).joinpath(SAMPLE).read_bytes()).decode().splitlines()


def _overlap(reference: Embeddings, prepared: Embeddings) -> float:
    shared = [len(np.intersect1d(*pair)) for pair in zip(_nearest(reference), _nearest(prepared), strict=True)]
    return float(np.mean(shared)) / NEIGHBOURS


def _nearest(embeddings: Embeddings) -> NDArray[np.int64]:
    """Of each row the ten nearest other rows, `(n, 10)`, in no order."""
    similarities = embeddings @ embeddings.T
    np.fill_diagonal(similarities, -np.inf)
    return np.argpartition(-similarities, NEIGHBOURS - 1, axis=1)[:, :NEIGHBOURS]
