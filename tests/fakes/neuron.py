"""AWS Neuron without a device: traces are made by torch.jit and really compute, and everything that is known to go wrong can be made to.

What a real runtime does wrong, after reports: the compiler crashes now and then; cores that another process has just left can not be
taken for some seconds; a program for another kind of device does not load; a shape that was not compiled is an error; a core hangs while
the process seems well; a faulty device gives wrong or no numbers.
"""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

VERSIONS = {"torch": "2.9.0", "torch-neuronx": "2.9.0.2.11", "neuronx-cc": "2.22.1"}
Where = tuple[str, int]
"""The name of a trace's file and the core."""


class FakeNeuron:
    """Stands in for `encoder.backends.neuron_runtime.Runtime` on a machine with one kind of device."""

    def __init__(self, target: str = "trn1", versions: dict[str, str] | None = None) -> None:
        self._target, self._versions = target, versions or VERSIONS
        self.compiled: list[tuple[int, int]] = []
        self.loaded: list[Where] = []
        self.ran: list[Where] = []
        self.crashes = 0
        """How many of the next compilations crash in their midst."""
        self.busy = 0
        """How many of the next loads find the cores taken."""
        self.failing: set[Where] = set()
        self.wrong: dict[Where, float] = {}
        """What is added to every embedding: a number, or NaN."""
        self.gates: dict[int, threading.Event] = {}
        """By core: runs on it hang until the event is set."""

    def versions(self) -> dict[str, str]:
        return dict(self._versions)

    def compile(self, module: torch.nn.Module, shape: tuple[int, int], options: Sequence[str], scratch: Path, file: Path) -> None:
        assert scratch.is_dir()
        self.compiled.append(shape)
        if self.crashes:
            self.crashes -= 1
            file.write_bytes(b"half a program")
            raise RuntimeError("neuronx-cc was killed with exit code -9")
        ids, mask = torch.ones(shape, dtype=torch.int64), torch.ones(shape, dtype=torch.int64)
        mask[:, -1] = 0
        about = {"target": options[options.index("--target") + 1], "shape": "x".join(map(str, shape))}
        torch.jit.save(torch.jit.trace(module, (ids, mask), check_trace=False), str(file), _extra_files=about)

    def load(self, file: Path, core: int) -> "FakeTrace":
        if self.busy:
            self.busy -= 1
            raise RuntimeError("nrt_allocate_neuron_cores failed: 4")
        about = {"target": "", "shape": ""}
        module = torch.jit.load(str(file), _extra_files=about)
        told = {name: value.decode() if isinstance(value, bytes) else value for name, value in about.items()}
        if told["target"] != self._target:
            raise RuntimeError(f"the NEFF is for {told['target']}")
        self.loaded.append((file.name, core))
        return FakeTrace(self, module, told["shape"], (file.name, core))


class FakeTrace:
    """One program on one core."""

    def __init__(self, device: FakeNeuron, module: Any, shape: str, where: Where) -> None:
        self._device, self._module, self._shape, self._where = device, module, shape, where

    def __call__(self, ids: NDArray[np.int64], mask: NDArray[np.int64]) -> NDArray[Any]:
        device = self._device
        device.ran.append(self._where)
        if gate := device.gates.get(self._where[1]):
            assert gate.wait(10)
        if self._where in device.failing:
            raise RuntimeError("nrt_execute status=1200: the core is in error")
        if ids.shape != mask.shape or "x".join(map(str, ids.shape)) != self._shape:
            raise RuntimeError(f"compiled for {self._shape}, called with {ids.shape}")
        with torch.inference_mode():
            embeddings: NDArray[Any] = self._module(torch.from_numpy(ids), torch.from_numpy(mask)).numpy()
        return embeddings + np.float32(self._device.wrong.get(self._where, 0.0))
