"""The middle of the catalogue, from where items are compared with items. Knows nothing of where the vectors lie.

All texts of a catalogue share a direction that says nothing about which of them are alike. Without it, t = (e - mu) / |e - mu|, the
cosine between items tells them apart better (measured on goodbooks: recall@20 of text neighbours .035 with e, .052 with t at 3 seeds).
The centre mu stays where it is until the catalogue has grown or shrunk by a quarter, so that one more item does not turn all vectors.
"""

from dataclasses import dataclass

import numpy as np

from retriever.items import Doubles, Floats

DRIFT = 1.25
"""A new centre is due when the catalogue has this many times as many items as at the last, or as few."""
SAME = 1e-3
"""An embedding this close to the centre has no direction from there: its vector is zero, its cosine with everything 0."""


@dataclass(frozen=True)
class Centre:
    """The mean `(dim,)` of the embeddings of `items` items."""

    mean: Doubles
    items: int

    def due(self, items: int) -> bool:
        """Whether a catalogue of `items` items needs a new centre."""
        return items > 0 and not self.items / DRIFT <= items <= self.items * DRIFT

    def seen_from(self, embeddings: Floats) -> Floats:
        """`embeddings` `(n, dim)` as unit vectors from the centre."""
        away = embeddings - self.mean
        lengths = np.sqrt(np.square(away).sum(axis=1, keepdims=True))
        seen: Floats = np.where(lengths > SAME, away / np.maximum(lengths, SAME), 0.0).astype(np.float32)
        return seen


NOWHERE = Centre(np.zeros(0), 0)
"""The centre of an empty catalogue."""
