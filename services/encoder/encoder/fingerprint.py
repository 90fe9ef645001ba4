"""The identity of an embedding space. Knows nothing of how embeddings are made."""

import hashlib
import re
from dataclasses import dataclass, field, replace
from typing import Self


@dataclass(frozen=True)
class Identity:
    """Everything that changes an embedding; encoders with equal fingerprints give interchangeable embeddings."""

    model: str
    weights: str
    """SHA-256 over the files the model is made of, in hexadecimal."""
    precision: str
    pooling: str
    normalisation: str
    prefix: str
    dimension: int
    max_tokens: int
    backend: str = field(compare=False)
    """What runs the model; no part of the fingerprint, because the same model in the same precision gives the same embeddings."""
    dimensions: tuple[int, ...] = field(default=(), compare=False)
    """Fewer numbers that an embedding may be cut to, where the model was trained for that (Kusupati et al., "Matryoshka Representation
    Learning", 2022). They change no embedding of the whole length, so they are no part of the fingerprint."""

    @property
    def fingerprint(self) -> str:
        """Such as `minilm-l6-v2/fp32/mean/l2/384/256/0123456789ab`: the readable parts, then a hash of all of them."""
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", self.model)
        readable = f"{name}/{self.precision}/{self.pooling}/{self.normalisation}/{self.dimension}/{self.max_tokens}"
        whole = hashlib.sha256("\x1f".join((readable, self.weights, self.prefix)).encode()).hexdigest()
        return f"{readable}/{whole[:12]}"

    def cut(self, dimension: int) -> Self:
        """The identity of the space of this one's first `dimension` numbers, normalised again: a space of its own."""
        if dimension == self.dimension:
            return self
        return replace(self, dimension=dimension, normalisation=f"{self.normalisation}-of-{self.dimension}", dimensions=())
