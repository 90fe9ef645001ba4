"""Embeds with ONNX Runtime on CPU: a model folder in fp32, or a prepared artefact in fp32 or int8. Knows no architecture."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from encoder.artefact import GRAPH, TOKENISER, WEIGHTS, is_artefact, open_artefact, sha256
from encoder.backends.building import identify, kept_graph
from encoder.backends.folder import open_folder
from encoder.backends.passages import Reader, limit
from encoder.backends.protocol import Goldens, ObserveRun
from encoder.backends.session import RUNTIME_ERRORS, Session, one_line
from encoder.canary import CANARY, unusable
from encoder.errors import FileDamaged, ModelUnsupported
from encoder.fingerprint import Identity
from encoder.ladder import Ladder, geometric
from encoder.settings import Settings
from servicekit import logs

LOG = logs.get(__name__)
RUN_POSITIONS = 128
"""Tokens and padding in one run: on one CPU core a batch costs nearly what its passages cost alone, and whoever comes next waits for it.

In a simulation with the measured costs of runs, 256 positions serve 16 clients no quicker than 128, and at random arrivals the slowest
hundredth of the answers comes a sixth later.
"""


@dataclass(frozen=True)
class _Model:
    """What was opened, whichever kind of folder it was in."""

    root: Path
    graph: Path
    reader: Reader
    identity: Identity
    goldens: Goldens | None
    built: bool


class OnnxBackend:
    """One session for all threads."""

    def __init__(self, settings: Settings, observe: ObserveRun) -> None:
        started = perf_counter()
        model = _artefact(settings) if is_artefact(Path(settings.model)) else _folder(settings)
        self.identity, self._goldens, self._observe = model.identity, model.goldens, observe
        self._reader, self._session = model.reader, Session(model.graph)
        self._ladder = geometric(self.identity.max_tokens, settings.batch_texts, RUN_POSITIONS)
        self._prove(model.root)
        seconds = round(perf_counter() - started, 2)
        LOG.info("model_opened", fingerprint=self.identity.fingerprint, graph_built=model.built, seconds=seconds)

    @property
    def ladder(self) -> Ladder:
        """Small batches: they save calls, and the padding of what is alike is little."""
        return self._ladder

    def goldens(self) -> Goldens | None:
        """What an artefact's model gave when it was prepared."""
        return self._goldens

    def tokenise(self, text: str) -> list[int]:
        """Token ids."""
        return self._reader.tokenise(text)

    def run(self, passages: Sequence[list[int]]) -> NDArray[np.float32]:
        """Unit-length float32 `(len(passages), dimension)`, padded to the longest of them."""
        ids, mask = self._reader.pad(passages, len(passages), max(map(len, passages)))
        embeddings = self._session.run(ids, mask)
        self._observe(int(mask.sum()), mask.size)
        return embeddings

    def close(self) -> None:
        """Gives the weights back."""
        del self._session

    def _prove(self, root: Path) -> None:
        try:
            embeddings = self.run([self.tokenise(CANARY)])
        except RUNTIME_ERRORS as error:
            raise FileDamaged(f"The model in {root} can not embed ({one_line(error)}); fetch it again.") from error
        if unusable(embeddings)[0]:
            raise FileDamaged(f"The model in {root} gives no finite unit-length embedding; fetch its weights again.")


def _folder(settings: Settings) -> _Model:
    folder = open_folder(settings.model, settings.weights_sha256)
    graph, built = kept_graph(folder, settings.state_dir)
    max_tokens = limit(folder, settings.max_tokens)
    reader = Reader.of(folder, max_tokens, settings.prefix)
    return _Model(folder.root, graph, reader, identify(folder, settings.prefix, max_tokens), None, built)


def _artefact(settings: Settings) -> _Model:
    """Raises `ModelUnsupported` where a setting contradicts what the artefact was prepared and measured with."""
    artefact = open_artefact(Path(settings.model))
    identity, root = artefact.identity, artefact.root
    for name, asked, prepared in (("PREFIX", settings.prefix, identity.prefix), ("MAX_TOKENS", settings.max_tokens, identity.max_tokens)):
        if asked and asked != prepared:
            raise ModelUnsupported(
                f"ENCODER_{name} is {asked!r}, but {root} was prepared with {prepared!r}; leave it out or prepare again."
            )
    if settings.weights_sha256 and (found := sha256(root / WEIGHTS)) != settings.weights_sha256:
        raise FileDamaged(f"{root / WEIGHTS} has SHA-256 {found} and ENCODER_WEIGHTS_SHA256 is {settings.weights_sha256}.")
    reader = Reader(root / TOKENISER, identity.max_tokens, artefact.padding_id, identity.prefix, artefact.lower_case)
    return _Model(root, root / GRAPH, reader, identity, artefact.goldens, False)
