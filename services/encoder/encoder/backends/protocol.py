"""The protocol every backend keeps, and the opener that picks one by setting. Knows no model."""

from collections.abc import Callable, Sequence, Sized
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from encoder.errors import ModelUnsupported
from encoder.fingerprint import Identity
from encoder.ladder import Ladder
from encoder.settings import Settings

ObserveRun = Callable[[int, int], None]
"""Told of every model run: how many tokens it embedded, and over how many positions (tokens and padding)."""

REMEDIES = {"torch": "install torch and transformers", "neuron": "use an image that has the AWS Neuron SDK"}
"""By backend: what to do where its packages are not installed."""


class Passage(Sized, Protocol):
    """A text as the model takes it; its length is its number of tokens, at least one and at most `identity.max_tokens`."""


class Backend(Protocol):
    """Embeds passages. `tokenise` and `run` are called from several threads at once."""

    @property
    def identity(self) -> Identity: ...

    @property
    def ladder(self) -> Ladder:
        """What `run` is best given at once."""
        ...

    def tokenise(self, text: str) -> Any:
        """The `Passage` of one text, prefix and special tokens included, cut at the model's limit; on the calling thread alone."""
        ...

    def run(self, passages: Sequence[Any]) -> NDArray[np.float32]:
        """Unit-length float32 `(len(passages), identity.dimension)` in their order, by one run on the calling thread.

        Any number of any lengths is taken; `ladder` says what is quick. May raise anything; the backend is then as it was.
        """
        ...

    def close(self) -> None:
        """Frees the device; `run` is not called any more."""
        ...


@dataclass(frozen=True)
class Goldens:
    """What the model gave when it was prepared; readiness compares what it gives now."""

    texts: tuple[str, ...]
    embeddings: NDArray[np.float32]
    """Unit-length `(len(texts), identity.dimension)`."""
    tolerance: float
    """How far below 1 the cosine of an embedding to its golden one may be."""


def goldens(backend: Backend) -> Goldens | None:
    """The goldens of a backend whose model has them, told by its method `goldens()`; backends need not have that method."""
    told: Callable[[], Goldens | None] | None = getattr(backend, "goldens", None)
    return told() if told else None


def embed(backend: Backend, texts: Sequence[str]) -> NDArray[np.float32]:
    """Unit-length float32 `(len(texts), dimension)` in order, in batches as the backend's ladder has them; for jobs and checks."""
    passages = [backend.tokenise(text) for text in texts]
    embeddings = np.empty((len(texts), backend.identity.dimension), np.float32)
    for chosen in batches([len(passage) for passage in passages], backend.ladder):
        embeddings[chosen] = backend.run([passages[index] for index in chosen])
    return embeddings


def batches(lengths: Sequence[int], ladder: Ladder) -> list[list[int]]:
    """Indices of passages of these lengths that are run together, by step of the ladder."""
    made: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda index: lengths[index]):
        last = [lengths[other] for other in made[-1]] if made else []
        alike = bool(last) and ladder.step(last[0]) == ladder.step(lengths[index])
        if alike and ladder.fits(last, lengths[index]):
            made[-1].append(index)
        else:
            made.append([index])
    return made


def open_backend(settings: Settings, observe: ObserveRun = lambda tokens, positions: None) -> Backend:
    """The backend that `settings.backend` names; raises `ModelFault` when its model can not be opened."""
    if settings.backend == "hashing":
        from encoder.backends.hashing import DIMENSION, HashingBackend

        return HashingBackend(DIMENSION, settings.max_tokens, settings.prefix, observe)
    if settings.backend in REMEDIES:
        return _open_on_device(settings, observe)
    if settings.device != "cpu/fp32":
        raise ModelUnsupported(
            f"ENCODER_DEVICE is {settings.device}, but onnx computes on the CPU; leave it out or set ENCODER_BACKEND=torch."
        )
    from encoder.backends.onnx import OnnxBackend  # here, so that `hashing` runs where onnxruntime is not installed

    return OnnxBackend(settings, observe)


def _open_on_device(settings: Settings, observe: ObserveRun) -> Backend:
    """The backends whose packages the default install has not."""
    try:
        if settings.backend == "torch":
            from encoder.backends.torch import TorchBackend

            return TorchBackend(settings, observe)
        from encoder.backends.neuron import NeuronBackend
        from encoder.backends.neuron_runtime import Runtime

        return NeuronBackend(settings, observe, Runtime())
    except ModuleNotFoundError as missing:
        raise ModelUnsupported(
            f"ENCODER_BACKEND is {settings.backend}, but the package {missing.name} is not installed; {REMEDIES[settings.backend]}."
        ) from missing
