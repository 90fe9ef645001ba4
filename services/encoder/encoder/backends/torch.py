"""Embeds with PyTorch on a CPU or a CUDA device, in fp32 or bf16. Knows nothing of architectures or requests."""

from collections.abc import Sequence
from dataclasses import replace
from time import perf_counter

import numpy as np
import torch
from numpy.typing import NDArray

from encoder.backends import torch_model
from encoder.backends.building import identify
from encoder.backends.folder import open_folder
from encoder.backends.passages import Reader, limit
from encoder.backends.protocol import ObserveRun
from encoder.canary import CANARY, unusable
from encoder.errors import FileDamaged, ModelUnsupported
from encoder.ladder import Ladder, geometric
from encoder.settings import Settings
from servicekit import logs

LOG = logs.get(__name__)
CPU_POSITIONS = 128
"""Tokens and padding in one run: on one CPU core a batch costs what its passages cost alone, and whoever comes next waits for it."""
CUDA_TEXTS, CUDA_POSITIONS, CUDA_RUNS = 256, 32_768, 2
"""A GPU is filled by many texts at once, and its memory bounds them; one batch is put together while another computes."""


class TorchBackend:
    """One module that any number of threads may run at once: on a CPU each on its own thread, on a GPU one after the other.

    Batches for a GPU are padded to one of few shapes: each new one costs the choice of kernels and memory of its own.
    """

    def __init__(self, settings: Settings, observe: ObserveRun) -> None:
        started = perf_counter()
        self._device, self._cuda = _device(settings.device)
        folder = open_folder(settings.model, settings.weights_sha256)
        max_tokens = limit(folder, settings.max_tokens)
        precision = settings.device.partition("/")[2]
        self._module = torch_model.load(folder, precision).to(self._device)
        self._reader, self._observe = Reader.of(folder, max_tokens, settings.prefix), observe
        self.ladder = cuda_ladder(max_tokens) if self._cuda else geometric(max_tokens, settings.batch_texts, CPU_POSITIONS)
        self.identity = replace(identify(folder, settings.prefix, max_tokens), precision=precision, backend="torch")
        if unusable(self.run([self.tokenise(CANARY)]))[0]:
            raise FileDamaged(f"The model in {folder.root} gives no finite unit-length embedding; fetch its weights again.")
        seconds = round(perf_counter() - started, 2)
        LOG.info("model_opened", fingerprint=self.identity.fingerprint, device=settings.device, seconds=seconds)

    def tokenise(self, text: str) -> list[int]:
        """The ids of the passage, special tokens included."""
        return self._reader.tokenise(text)

    def run(self, passages: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """Unit-length float32 `(len(passages), dimension)`; what a GPU has no room for at once is run in halves.

        Raises torch's own errors, such as that of a GPU without room for one passage.
        """
        if not passages:
            return np.empty((0, self.identity.dimension), np.float32)
        try:
            return self._run_at_once(passages)
        except torch.OutOfMemoryError as error:
            if len(passages) == 1:
                raise
            LOG.warning("gpu_without_room", passages=len(passages), fault=str(error).partition(".")[0])
        if self._cuda:
            torch.cuda.empty_cache()  # memory that was kept for batches of other shapes
        half = len(passages) // 2
        return np.concatenate([self.run(passages[:half]), self.run(passages[half:])])

    def _run_at_once(self, passages: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        rows, length = self._shape(passages)
        ids, mask = self._reader.pad(passages, rows, length)
        with torch.inference_mode():
            unit = self._module(self._send(ids), self._send(mask))
            embeddings: NDArray[np.float32] = unit[: len(passages)].cpu().numpy()
        self._observe(sum(map(len, passages)), ids.size)
        return embeddings

    def _send(self, array: NDArray[np.int64]) -> torch.Tensor:
        """The array on the device; to a GPU from memory that is not paged, so that nothing waits for the copy but what needs it."""
        tensor = torch.from_numpy(array)
        return tensor.pin_memory().to(self._device, non_blocking=True) if self._cuda else tensor

    def close(self) -> None:
        """Frees the memory of the device."""
        del self._module
        if self._cuda:
            torch.cuda.empty_cache()

    def _shape(self, passages: Sequence[Sequence[int]]) -> tuple[int, int]:
        longest = max(map(len, passages))
        return few_shapes(len(passages), longest, self.ladder) if self._cuda else (len(passages), longest)


def cuda_ladder(max_tokens: int) -> Ladder:
    """Wider steps than a CPU's: more passages find others of their step, and fewer shapes occur."""
    return replace(geometric(max_tokens, CUDA_TEXTS, CUDA_POSITIONS, ratio=1.5, least=16), runs=CUDA_RUNS)


def few_shapes(rows: int, longest: int, ladder: Ladder) -> tuple[int, int]:
    """Rows and length that such a batch is padded to: four numbers of rows between powers of two, and the step of the ladder."""
    unit = max(1, (1 << (rows - 1).bit_length()) // 8)
    return -(-rows // unit) * unit, ladder.lengths[ladder.step(longest)]


def _device(setting: str) -> tuple[torch.device, bool]:
    """The device, ready to compute as the others do; raises `ModelUnsupported`."""
    name = setting.partition("/")[0]
    if name not in ("cpu", "cuda"):
        raise ModelUnsupported(f"ENCODER_DEVICE is {setting}; torch computes on cpu or cuda, {name} is for ENCODER_BACKEND=neuron.")
    if name == "cuda" and not torch.cuda.is_available():
        raise ModelUnsupported(f"ENCODER_DEVICE is {setting}, but torch {torch.__version__} sees no CUDA device; check driver and build.")
    torch.set_float32_matmul_precision("highest")  # fp32 is what the fingerprint says, so no TF32
    if name == "cpu":
        torch.set_num_threads(1)  # the callers are the threads
    return torch.device(name), name == "cuda"
