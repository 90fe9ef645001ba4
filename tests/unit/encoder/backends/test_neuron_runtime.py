"""The calls to torch_neuronx are those, in the order, that its documentation asks for; the fake computes on the CPU."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("default")]

from encoder.backends.neuron_runtime import Runtime  # noqa: E402  # needs torch


class TorchNeuronx(ModuleType):
    """torch_neuronx without a device: refuses calls that come too early or too late."""

    def __init__(self) -> None:
        super().__init__("torch_neuronx")
        self.placed: list[int] = []
        self.options: dict[str, Any] = {}
        self.loading_on: int | None = None
        self.experimental = SimpleNamespace(neuron_cores_context=self.neuron_cores_context)

    def trace(self, module: Any, examples: Any, **options: Any) -> Any:
        self.options = options
        return torch.jit.trace(module, examples)

    def lazy_load(self, trace: Any) -> None:
        raise AssertionError("a lazy trace is loaded when it first runs, on whichever core, and not where it was placed")

    @contextmanager
    def neuron_cores_context(self, start_nc: int, nc_count: int) -> Iterator[None]:
        assert nc_count == 1
        self.loading_on = start_nc
        yield
        self.loading_on = None

    def move_trace_to_device(self, trace: Any, core: int) -> None:
        assert self.loading_on is None
        self.placed.append(core)


class Lengths(torch.nn.Module):  # type: ignore[misc, name-defined]  # torch is not typed here
    """Embeddings that are easy to tell: what of each row is a passage."""

    def forward(self, ids: Any, mask: Any) -> Any:
        return (ids * mask).float()


@pytest.fixture
def neuronx(monkeypatch: pytest.MonkeyPatch) -> TorchNeuronx:
    module = TorchNeuronx()
    monkeypatch.setitem(sys.modules, "torch_neuronx", module)
    return module


def test_a_trace_is_compiled_without_a_device_saved_and_run_on_the_core_it_was_loaded_for(
    neuronx: TorchNeuronx, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[tuple[str, Any]] = []
    save, load = torch.jit.save, torch.jit.load

    def saved(trace: Any, file: str) -> None:
        events.append(("save", neuronx.loading_on))
        save(trace, file)

    def loaded(file: str) -> Any:
        events.append(("load", neuronx.loading_on))
        return load(file)

    monkeypatch.setattr(torch.jit, "save", saved)
    monkeypatch.setattr(torch.jit, "load", loaded)
    runtime, file = Runtime(), tmp_path / "2x3.pt"
    runtime.compile(Lengths(), (2, 3), ("--target", "trn1"), tmp_path, file)
    assert neuronx.options["cpu_backend"] is True
    assert neuronx.options["inline_weights_to_neff"] is False
    assert neuronx.options["compiler_args"] == ["--target", "trn1"]
    run = runtime.load(file, 5)
    assert events == [("save", None), ("load", 5)]
    assert neuronx.placed == [5]
    embeddings = run(np.full((2, 3), 7), np.array([[1, 1, 0], [1, 0, 0]]))
    assert embeddings.dtype == np.float32
    assert embeddings.tolist() == [[7, 7, 0], [7, 0, 0]]


@pytest.mark.usefixtures("neuronx")
def test_versions_are_told_of_what_is_installed_only() -> None:
    versions = Runtime().versions()
    assert versions["torch"] == torch.__version__
    assert "torch-neuronx" not in versions
