"""Embeds with models that were compiled for AWS Neuron, each batch padded to a compiled shape. Knows nothing of torch or of compiling.

Nothing is compiled here: what the store does not have, or has for another device or version, is refused.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from encoder.backends.neuron_artefact import GOLDENS, TOKENISER, Wanted, find, trace_name
from encoder.backends.neuron_buckets import Bucket, Place, Places, ladder_of
from encoder.backends.passages import Reader
from encoder.backends.protocol import Goldens, ObserveRun, batches
from encoder.canary import unusable
from encoder.errors import EmbeddingBroken, FileDamaged, ModelFault, ModelUnsupported
from encoder.fingerprint import Identity
from encoder.settings import Settings
from servicekit import logs

LOG = logs.get(__name__)
TRIES = 3
"""Places a batch is run in before it is given up: passages that no place can embed must not hold up the others for long."""
LOAD_WAITS_S = (1.0, 2.0, 4.0, 8.0)
"""Seconds between attempts to load a trace: cores that another process has just left are not free at once."""
TOLERANCES = {"fp32": 1e-3, "bf16": 3e-3}
"""How far below 1 the cosine of an embedding to its golden one may be, by precision: the device adds in another order."""
Trace = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[Any]]
"""`ids` and `mask` of exactly the compiled shape -> embeddings `(rows, dimension)`; raises RuntimeError."""


class Device(Protocol):
    """What is asked of the runtime; `neuron_runtime.Runtime` is the real one."""

    def versions(self) -> Mapping[str, str]:
        """Of the installed packages that a compiled model depends on."""
        ...

    def load(self, file: Path, core: int) -> Trace:
        """The trace on one core; raises RuntimeError."""
        ...


class NeuronBackend:
    """Every bucket on every core, `settings.threads` of them (0: one), each of which runs one batch at a time."""

    def __init__(self, settings: Settings, observe: ObserveRun, device: Device, pause: Callable[[float], None] = time.sleep) -> None:
        started = time.perf_counter()
        home, recipe = find(Path(settings.model), _wanted(settings, device))
        cores = settings.threads or 1
        self._device, self._pause, self._observe = device, pause, observe
        self._goldens = _read_goldens(home, TOLERANCES[recipe.precision])
        self._readers = [
            Reader(home / TOKENISER, recipe.max_tokens, recipe.padding_id, prefix, recipe.lower_case) for prefix in (settings.prefix, "")
        ]
        self.ladder = ladder_of(recipe.shapes, cores)
        self.identity = Identity(
            model=recipe.model,
            weights=recipe.weights,
            precision=recipe.precision,
            pooling=recipe.pooling,
            normalisation="l2",
            prefix=settings.prefix,
            dimension=recipe.dimension,
            max_tokens=recipe.max_tokens,
            backend="neuron",
            dimensions=recipe.dimensions,
        )
        self._traces = {Place(bucket, core): self._load(home, bucket, core) for bucket in recipe.shapes for core in range(cores)}
        for place in self._traces:
            self._prove(place, home)
        self._places = Places(recipe.shapes, cores)
        seconds = round(time.perf_counter() - started, 2)
        LOG.info("model_opened", fingerprint=self.identity.fingerprint, key=recipe.key, cores=cores, seconds=seconds)

    def tokenise(self, text: str) -> list[int]:
        """The ids of the passage, special tokens included."""
        return self._readers[0].tokenise(text)

    def run(self, passages: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """Unit-length float32 `(len(passages), dimension)`; more than a bucket holds, or of several steps, takes several runs.

        Raises `EmbeddingBroken` when no place on any core could embed them.
        """
        embeddings = np.empty((len(passages), self.identity.dimension), np.float32)
        for chosen in batches([len(passage) for passage in passages], self.ladder):
            while chosen:
                done = self._run_once([passages[index] for index in chosen])
                embeddings[chosen[: len(done)]] = done
                chosen = chosen[len(done) :]
        return embeddings

    def goldens(self) -> Goldens | None:
        """What the model gave on the machine that compiled it; None where a prefix makes other passages of the texts."""
        return None if self.identity.prefix else self._goldens

    def close(self) -> None:
        """Frees the cores."""
        self._traces.clear()

    def _run_once(self, passages: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """Embeddings of all passages, or of as many from the first as a bucket holds that still works."""
        failed: list[Place] = []
        longest, faults = max(map(len, passages)), ["none is free of faults and none that hangs comes back"]
        while len(failed) < TRIES and (run := self._places.take(len(passages), longest, failed)):
            part = passages[: run.place.bucket.rows]
            try:
                embeddings = self._embed(run.place, part)
            except RuntimeError as error:
                faults.append(" ".join(str(error).split())[:300])
            else:
                if not unusable(embeddings).any():
                    self._blame(failed, faults[-1])
                    return embeddings
                faults.append("embeddings that are not finite or not of unit length")
            finally:
                self._places.give_back(run)
            failed.append(run.place)
        tried = ", ".join(f"{place.bucket.name} on core {place.core}" for place in failed) or "no place"
        raise EmbeddingBroken(f"Neuron embedded none of {len(passages)} passages; tried {tried}; last: {faults[-1]}.")

    def _embed(self, place: Place, passages: Sequence[Sequence[int]], reader: int = 0) -> NDArray[np.float32]:
        bucket = place.bucket
        ids, mask = self._readers[reader].pad(passages, bucket.rows, bucket.length)
        embeddings = np.asarray(self._traces[place](ids, mask), np.float32)
        if embeddings.shape != (bucket.rows, self.identity.dimension):
            raise RuntimeError(f"the trace {bucket.name} gave embeddings of shape {embeddings.shape}")
        self._observe(sum(map(len, passages)), ids.size)
        return embeddings[: len(passages)]

    def _blame(self, failed: Sequence[Place], fault: str) -> None:
        """Another place embedded the same passages, so these are at fault and not the passages."""
        self._places.set_aside(failed)
        for place in failed:
            LOG.error("neuron_place_failed", bucket=place.bucket.name, core=place.core, fault=fault)

    def _load(self, home: Path, bucket: Bucket, core: int) -> Trace:
        file = home / trace_name(bucket)
        for attempt in range(len(LOAD_WAITS_S) + 1):
            try:
                return self._device.load(file, core)
            except RuntimeError as error:
                fault = " ".join(str(error).split())[:300]
            if attempt < len(LOAD_WAITS_S):
                LOG.warning("neuron_load_failed", file=str(file), core=core, fault=fault, retry_in_s=LOAD_WAITS_S[attempt])
                self._pause(LOAD_WAITS_S[attempt])
        raise ModelFault(
            f"{file} can not be loaded on core {core} ({fault}); check that no other process holds the core, that driver and runtime fit "
            "each other, and that ENCODER_THREADS is not more than the cores of this process."
        )

    def _prove(self, place: Place, home: Path) -> None:
        """Compares with the goldens; the longest that the bucket holds are taken."""
        lengths = {index: len(self._readers[1].tokenise(text)) for index, text in enumerate(self._goldens.texts)}
        held = sorted((index for index, length in lengths.items() if length <= place.bucket.length), key=lengths.__getitem__, reverse=True)
        held = held[: place.bucket.rows]
        try:
            embeddings = self._embed(place, [self._readers[1].tokenise(self._goldens.texts[index]) for index in held], reader=1)
        except RuntimeError as error:
            raise ModelFault(f"{home / trace_name(place.bucket)} fails on core {place.core} ({error}); check the device.") from error
        with np.errstate(all="ignore"):
            worst = float(np.min((embeddings * self._goldens.embeddings[held]).sum(axis=1)))
        if unusable(embeddings).any() or not worst >= 1 - self._goldens.tolerance:
            raise FileDamaged(
                f"{home / trace_name(place.bucket)} on core {place.core} gives embeddings with a cosine of {worst:.5f} to its goldens, "
                f"under {1 - self._goldens.tolerance}; check the device and its driver, or compile the model again."
            )


def _wanted(settings: Settings, device: Device) -> Wanted:
    target, _, precision = settings.device.partition("/")
    if target in ("cpu", "cuda"):
        raise ModelUnsupported(f"ENCODER_DEVICE is {settings.device}; neuron computes on inf2, trn1, trn1n or trn2, as trn1/bf16.")
    if settings.weights_sha256:
        raise ModelUnsupported("ENCODER_WEIGHTS_SHA256 is for checkpoints; a compiled model's manifest has the hashes, so leave it empty.")
    return Wanted(target, precision, settings.max_tokens, device.versions())


def _read_goldens(home: Path, tolerance: float) -> Goldens:
    with np.load(home / GOLDENS) as arrays:
        return Goldens(tuple(arrays["texts"].tolist()), arrays["embeddings"], tolerance)
