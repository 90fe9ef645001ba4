"""Embeddings as seen from the middle of the catalogue: for comparing item with item. Knows nothing of queries.

All texts of a catalogue share a direction that says nothing about which of them are alike. Without it, t = (e - mu) / |e - mu|, the
cosine between items tells them apart better (measured on goodbooks: recall@20 of text neighbours .035 with e, .052 with t at 3 seeds).
The centre mu stays where it is until the catalogue has grown or shrunk by a quarter, so that one more item does not turn all vectors.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from retriever.items import Doubles, Floats
from retriever.segments.flat import FlatSegment

DRIFT = 1.25
"""A new centre is due when the catalogue has this many times as many items as at the last, or as few."""
SAME = 1e-6
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


@dataclass(frozen=True)
class Centred:
    """The rows of a view seen from one centre."""

    centre: Centre
    segment: FlatSegment

    @classmethod
    def around(cls, centre: Centre, embeddings: Floats) -> Self:
        """All rows, whose `embeddings` are given `(rows, dim)`."""
        segment = FlatSegment()
        if len(embeddings):
            segment.append(0, centre.seen_from(embeddings))
        return cls(centre, segment)

    def append(self, at: int, embeddings: Floats) -> None:
        """Writes rows from `at` on."""
        self.segment.append(at, self.centre.seen_from(embeddings))
