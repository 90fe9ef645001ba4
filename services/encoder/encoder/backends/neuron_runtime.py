"""Compiles and loads with torch_neuronx: the only file that touches it. Knows nothing of buckets, stores or passages.

None of it has run on a device: see "Neuron" in the README. Calls and their order are those of the torch_neuronx documentation (trace,
core placement), checked here against a stand-in only.
"""

from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from encoder.backends.neuron import Trace

PACKAGES = ("torch", "torch-neuronx", "neuronx-cc")


class Runtime:
    """What the Neuron backend asks of the device; raises RuntimeError for everything that fails there."""

    def __init__(self) -> None:
        import torch_neuronx  # type: ignore[import-not-found]  # here, so that this file can be read where it is not installed

        self._neuron: Any = torch_neuronx

    def versions(self) -> dict[str, str]:
        """Of the installed packages that a compiled model depends on; the compiler need not be where models are served."""
        found = {}
        for package in PACKAGES:
            try:
                found[package] = metadata.version(package)
            except metadata.PackageNotFoundError:
                continue
        return found

    def compile(self, module: torch.nn.Module, shape: tuple[int, int], options: Sequence[str], scratch: Path, file: Path) -> None:
        """Writes the trace of `module` for int64 `ids` and `mask` of `shape`; needs a compiler, and no device."""
        ids = torch.ones(shape, dtype=torch.int64)
        mask = ids.clone()
        mask[:, -1] = 0  # without padding a trace might leave the mask out
        trace = self._neuron.trace(
            module,
            (ids, mask),
            compiler_workdir=str(scratch),
            compiler_args=list(options),
            inline_weights_to_neff=False,  # the compiler's memory would grow with the weights
            cpu_backend=True,
        )
        torch.jit.save(trace, str(file))  # without lazy_load, which would put off loading to where no core is chosen any more

    def load(self, file: Path, core: int) -> Trace:
        """The trace on one core of those this process was given, counted from 0."""
        with self._neuron.experimental.neuron_cores_context(start_nc=core, nc_count=1):
            trace = torch.jit.load(str(file))  # the program goes to that core here and nowhere else
        self._neuron.move_trace_to_device(trace, core)  # the weights, which lie beside the program

        def run(ids: NDArray[np.int64], mask: NDArray[np.int64]) -> NDArray[Any]:
            with torch.inference_mode():
                embeddings: NDArray[Any] = trace(torch.from_numpy(ids), torch.from_numpy(mask)).cpu().numpy()
            return embeddings

        return run
