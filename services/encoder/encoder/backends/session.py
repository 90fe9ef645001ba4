"""One open graph of ONNX Runtime on CPU. Knows nothing of text."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as runtime

from encoder.backends.graph import ATTENTION_MASK, EMBEDDINGS, INPUT_IDS
from encoder.errors import FileDamaged

CPU = Path("/proc/cpuinfo")
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


class Session:
    """A graph that any number of threads may run at once, each run on the thread that calls.

    Several sessions measure no faster than several callers of one, and each would hold the weights once more.
    """

    def __init__(self, graph: Path) -> None:
        """Raises `FileDamaged` when ONNX Runtime refuses the graph."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_mem_pattern = False  # plans memory per shape, and shapes change from run to run
        options.log_severity_level = ONLY_FATAL  # errors come back as exceptions
        if saturates(CPU.read_text() if CPU.exists() else ""):  # then embeddings would differ between CPUs
            options.add_session_config_entry("session.x64quantprecision", "1")
        # the graphs are written in integer operators already, and looking for what to replace by them fails on some
        options.add_session_config_entry("session.disable_quant_qdq", "1")
        try:
            self._session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
        except RUNTIME_ERRORS as error:
            raise FileDamaged(f"ONNX Runtime refuses {graph} ({one_line(error)}); the checkpoint may not fit its config.json.") from error
        self.dimension = int(self._session.get_outputs()[0].shape[1])

    def run(self, ids: NDArray[np.int64], mask: NDArray[np.int64]) -> NDArray[np.float32]:
        """`ids` and `mask`, both `(batch, length)`, to unit-length embeddings `(batch, dimension)`."""
        embeddings: NDArray[np.float32]
        (embeddings,) = self._session.run([EMBEDDINGS], {INPUT_IDS: ids, ATTENTION_MASK: mask})
        return embeddings

    def watch(self, outputs: Sequence[str], ids: NDArray[np.int64]) -> dict[str, NDArray[np.float32]]:
        """Other outputs of a graph that has them, by name, for `ids` `(batch, length)` without padding."""
        found = self._session.run(list(outputs), {INPUT_IDS: ids, ATTENTION_MASK: np.ones_like(ids)})
        return dict(zip(outputs, found, strict=True))


def saturates(cpu: str) -> bool:
    """Whether the CPU that /proc/cpuinfo tells of multiplies uint8 by int8 into sums of 16 bits, which overflow: x86 before VNNI.

    ONNX Runtime then computes exactly only when it is asked to; where it is asked to without need, it takes more than twice the time.
    """
    flags = set(cpu.split())
    return "avx2" in flags and not flags & {"avx512_vnni", "avx_vnni"}


def one_line(error: Exception) -> str:
    """The message of an error, short enough for a line of its own."""
    return " ".join(str(error).split())[:300]
