"""The protocol every backend keeps, and the opener that picks one by setting. Knows no model."""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from encoder.fingerprint import Identity
from encoder.settings import Settings

ObserveRun = Callable[[int, int], None]
"""Told of every model run: how many tokens it embedded, and over how many positions (tokens and padding)."""


class Backend(Protocol):
    """Embeds passages; `embed` is called from several threads at once."""

    @property
    def identity(self) -> Identity: ...

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit-length float32 `(len(texts), identity.dimension)`, row by row in the order of `texts`."""
        ...


def open_backend(settings: Settings, observe: ObserveRun = lambda tokens, positions: None) -> Backend:
    """The backend that `settings.backend` names; raises `ModelFault` when its model can not be opened."""
    if settings.backend == "hashing":
        from encoder.backends.hashing import HashingBackend

        return HashingBackend(settings.hashing_dimension, settings.max_tokens, settings.prefix, observe)
    from encoder.backends.onnx import OnnxBackend  # here, so that `hashing` runs where onnxruntime is not installed

    return OnnxBackend(settings, observe)
