"""One open graph of ONNX Runtime on CPU. Knows nothing of text."""

from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as runtime

from encoder.backends.graph import ATTENTION_MASK, EMBEDDINGS, INPUT_IDS
from encoder.errors import FileDamaged

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
        # without it int8 sums saturate on CPUs that have AVX2 or AVX-512 but no VNNI, and embeddings differ between CPUs
        options.add_session_config_entry("session.x64quantprecision", "1")
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


def one_line(error: Exception) -> str:
    """The message of an error, short enough for a line of its own."""
    return " ".join(str(error).split())[:300]
