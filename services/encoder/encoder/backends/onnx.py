"""Embeds with ONNX Runtime on CPU, in fp32. Knows nothing of architectures or requests."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from time import perf_counter

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as runtime

from encoder.backends.building import architecture, kept_graph
from encoder.backends.folder import ModelFolder, open_folder
from encoder.backends.graph import ATTENTION_MASK, EMBEDDINGS, INPUT_IDS
from encoder.backends.protocol import ObserveRun
from encoder.backends.tokens import Tokeniser
from encoder.canary import CANARY, unusable
from encoder.errors import FileDamaged, ModelUnsupported
from encoder.fingerprint import Identity
from encoder.settings import Settings
from servicekit import logs

LOG = logs.get(__name__)
DEFAULT_MAX_TOKENS = 256
MAX_POSITIONS = 8192
"""Tokens and padding in one run at most; attention's memory grows with it times the length."""
ONLY_FATAL = 4
RUNTIME_ERRORS = (
    runtime.Fail,
    runtime.InvalidArgument,
    runtime.InvalidGraph,
    runtime.InvalidProtobuf,
    runtime.NoSuchFile,
    runtime.NotImplemented,
    runtime.RuntimeException,
)
"""They share no base but Exception."""


class OnnxBackend:
    """One session that any number of threads may run at once, each run on the thread that calls.

    Several sessions measure no faster than several callers of one, and each would hold the weights once more.
    """

    def __init__(self, settings: Settings, observe: ObserveRun) -> None:
        started = perf_counter()
        folder = open_folder(settings.model, settings.weights_sha256)
        max_tokens = _max_tokens(folder, settings.max_tokens)
        graph, built = kept_graph(folder, settings.state_dir)
        self._session = _open_session(graph)
        self._tokeniser = Tokeniser(folder.tokeniser_file, max_tokens, int(folder.config.get("pad_token_id") or 0))
        self._prefix, self._lower_case = settings.prefix, folder.lower_case
        self._batch_texts, self._observe = settings.batch_texts, observe
        self.identity = Identity(
            model=folder.name,
            weights=folder.digest,
            precision="fp32",
            pooling=folder.pooling,
            normalisation="l2",
            prefix=settings.prefix,
            dimension=int(self._session.get_outputs()[0].shape[1]),
            max_tokens=max_tokens,
            backend="onnx",
        )
        self._prove(folder)
        LOG.info("model_opened", fingerprint=self.identity.fingerprint, graph_built=built, seconds=round(perf_counter() - started, 2))

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit-length float32 `(len(texts), dimension)`; runs over passages of like length together, a few at a time.

        On one CPU core a batch costs what its texts cost alone, so runs stay small and hold little padding.
        """
        passages = [self._tokeniser.encode(self._prepare(text)) for text in texts]
        embeddings = np.empty((len(texts), self.identity.dimension), np.float32)
        for chosen in self._runs(passages):
            ids, mask = self._tokeniser.pad([passages[index] for index in chosen])
            (embeddings[chosen],) = self._session.run([EMBEDDINGS], {INPUT_IDS: ids, ATTENTION_MASK: mask})
            self._observe(int(mask.sum()), mask.size)
        return embeddings

    def _prepare(self, text: str) -> str:
        prefixed = self._prefix + text
        return prefixed.lower() if self._lower_case else prefixed

    def _runs(self, passages: Sequence[Sequence[int]]) -> Iterator[list[int]]:
        """Indices of passages that are run together, by length."""
        run: list[int] = []
        for index in sorted(range(len(passages)), key=lambda index: len(passages[index])):
            if run and (len(run) == self._batch_texts or (len(run) + 1) * len(passages[index]) > MAX_POSITIONS):
                yield run
                run = []
            run.append(index)
        if run:
            yield run

    def _prove(self, folder: ModelFolder) -> None:
        try:
            broken = unusable(self.embed([CANARY]))[0]
        except RUNTIME_ERRORS as error:
            raise FileDamaged(f"The model in {folder.root} can not embed ({_one_line(error)}); fetch it again.") from error
        if broken:
            raise FileDamaged(f"The model in {folder.root} gives no finite unit-length embedding; fetch its weights again.")


def _max_tokens(folder: ModelFolder, asked: int) -> int:
    limit = architecture(folder).max_tokens(folder.config)
    if limit is not None and asked > limit:
        raise ModelUnsupported(f"ENCODER_MAX_TOKENS is {asked}, but {folder.root} has positions for {limit} tokens; lower it.")
    chosen = asked or folder.max_tokens or DEFAULT_MAX_TOKENS
    return chosen if limit is None else min(chosen, limit)


def _open_session(graph: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_mem_pattern = False  # plans memory per shape, and shapes change from run to run
    options.log_severity_level = ONLY_FATAL  # errors come back as exceptions
    try:
        return onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    except RUNTIME_ERRORS as error:
        raise FileDamaged(f"ONNX Runtime refuses {graph} ({_one_line(error)}); the checkpoint may not fit its config.json.") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
