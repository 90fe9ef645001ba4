"""Compiling publishes whole models only, goes on after a crash, and does nothing twice."""

import fcntl
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from encoder.errors import FileMissing, ModelFault, ModelUnsupported

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("default")]

from tests.fakes.neuron import VERSIONS, FakeNeuron  # noqa: E402  # needs torch

from encoder.backends.neuron_artefact import Wanted, find, read_manifest  # noqa: E402
from encoder.backends.neuron_compile import Order, compile_model  # noqa: E402

ORDER: dict[str, Any] = {"target": "trn1", "precision": "fp32", "max_tokens": 32, "rows": (1, 2), "lengths": (16,)}
SHAPES = [(1, 16), (2, 16), (1, 32), (2, 32)]


def order(model: Path, **changes: Any) -> Order:
    return Order(str(model), **(ORDER | changes))


def test_what_is_compiled_is_found_by_what_a_service_wants(t5: Path, tmp_path: Path) -> None:
    device = FakeNeuron()
    home = compile_model(order(t5), tmp_path, device)
    assert home.parent == tmp_path / t5.name
    assert device.compiled == SHAPES
    found, recipe = find(home.parent, Wanted("trn1", "fp32", 32, VERSIONS))
    assert found == home
    assert (home.name, recipe.options[:2], recipe.dimension) == (recipe.key, ("--target", "trn1"), 24)
    assert not list(home.parent.glob("unfinished-*"))


def test_what_is_there_and_intact_is_not_compiled_again(t5: Path, tmp_path: Path) -> None:
    device = FakeNeuron()
    assert compile_model(order(t5), tmp_path, device) == compile_model(order(t5), tmp_path, device)
    assert device.compiled == SHAPES


def test_what_is_there_and_damaged_is_compiled_again(t5: Path, tmp_path: Path) -> None:
    device = FakeNeuron()
    home = compile_model(order(t5, rows=(1,), lengths=()), tmp_path, device)
    (home / "1x32.pt").write_bytes(b"?")
    assert compile_model(order(t5, rows=(1,), lengths=()), tmp_path, device) == home
    assert device.compiled == [(1, 32), (1, 32)]
    assert find(home, Wanted("trn1", "fp32", 32, VERSIONS))[0] == home


@pytest.mark.parametrize(
    "change",
    [{"target": "trn2"}, {"precision": "bf16"}, {"max_tokens": 24}, {"rows": (1,)}, {"lengths": (8,)}],
    ids=lambda change: next(iter(change)),
)
def test_another_order_is_another_folder(change: dict[str, Any], t5: Path, tmp_path: Path) -> None:
    smaller = {"rows": (2,), "lengths": ()}
    first, second = (compile_model(order(t5, **(smaller | more)), tmp_path, FakeNeuron()) for more in ({}, change))
    assert first != second
    assert read_manifest(first)[0] != read_manifest(second)[0]


def test_another_compiler_or_traced_code_or_checkpoint_is_another_folder(
    t5: Path, tmp_path: Path, tiny: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {"rows": (1,), "lengths": ()}
    homes = [compile_model(order(t5, **small), tmp_path, FakeNeuron())]
    homes.append(compile_model(order(t5, **small), tmp_path, FakeNeuron(versions=VERSIONS | {"neuronx-cc": "3"})))
    with monkeypatch.context() as patch:
        patch.setattr(metadata, "version", lambda package: f"another {package}")
        homes.append(compile_model(order(t5, **small), tmp_path, FakeNeuron()))
        assert read_manifest(homes[-1])[0].versions == VERSIONS | {"transformers": "another transformers"}
    tiny.write_t5(t5, seed=9)
    homes.append(compile_model(order(t5, **small), tmp_path, FakeNeuron()))
    assert len(set(homes)) == 4


@pytest.mark.parametrize(("target", "told"), [("trn1", ()), ("inf2", ()), ("trn2", ("--logical-nc-config", "2"))])
def test_the_compiler_is_told_of_logical_cores_where_there_are_any(target: str, told: tuple[str, ...], t5: Path, tmp_path: Path) -> None:
    home = compile_model(order(t5, target=target, rows=(1,), lengths=()), tmp_path, FakeNeuron(target))
    options = read_manifest(home)[0].options
    assert options == ("--target", target, "--model-type", "transformer", "--auto-cast", "none", *told)


def test_a_compiler_that_crashes_once_is_asked_again(t5: Path, tmp_path: Path) -> None:
    device = FakeNeuron()
    device.crashes = 1
    home = compile_model(order(t5), tmp_path, device)
    assert device.compiled == [SHAPES[0], *SHAPES]
    assert find(home, Wanted("trn1", "fp32", 32, VERSIONS))[0] == home


def test_a_compiler_that_keeps_crashing_publishes_nothing_and_the_next_run_goes_on(t5: Path, tmp_path: Path) -> None:
    device = FakeNeuron()

    class Tiring(FakeNeuron):
        def compile(self, module: Any, shape: tuple[int, int], *rest: Any) -> None:
            self.crashes = 9 if shape[1] == 32 else 0
            super().compile(module, shape, *rest)

    with pytest.raises(ModelFault, match=r"failed 2 times on the bucket 1x32 .*exit code -9.*run it again"):
        compile_model(order(t5), tmp_path, Tiring())
    assert not list((tmp_path / t5.name).glob("*/manifest.json"))
    home = compile_model(order(t5), tmp_path, device)
    assert device.compiled == SHAPES[2:]
    assert find(home, Wanted("trn1", "fp32", 32, VERSIONS))[0] == home


def test_two_processes_do_not_compile_the_same(t5: Path, tmp_path: Path) -> None:
    key = compile_model(order(t5, rows=(1,)), tmp_path / "other", FakeNeuron()).name
    aside = tmp_path / t5.name / f"unfinished-{key}"
    aside.mkdir(parents=True)
    device = FakeNeuron()
    with (aside / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ModelFault, match="Another process"):
            compile_model(order(t5, rows=(1,)), tmp_path, device)
    assert device.compiled == []


def test_the_last_length_is_the_limit_of_passages(t5: Path, tmp_path: Path) -> None:
    home = compile_model(order(t5, rows=(1,), lengths=(), max_tokens=70), tmp_path, FakeNeuron())
    assert read_manifest(home)[0].buckets == ("1x32", "1x64", "1x70")


@pytest.mark.parametrize("lengths", [(4,), (64,), (16, 33)])
def test_lengths_outside_of_the_limits_are_refused(lengths: tuple[int, ...], t5: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelUnsupported, match="from 8 to 32"):
        compile_model(order(t5, lengths=lengths), tmp_path, FakeNeuron())


def test_the_goldens_are_those_of_the_checkpoint(t5: Path, tmp_path: Path) -> None:
    from encoder.backends.protocol import embed, open_backend
    from encoder.settings import Settings

    home = compile_model(order(t5, rows=(1,)), tmp_path, FakeNeuron())
    with np.load(home / "goldens.npz") as goldens:
        texts, expected = goldens["texts"].tolist(), goldens["embeddings"]
    graph = open_backend(Settings(model=str(t5), state_dir=tmp_path / "state", max_tokens=32))
    assert np.abs(embed(graph, texts) - expected).max() < 1e-5
    lengths = [len(graph.tokenise(text)) for text in texts]
    assert min(lengths) <= 8
    assert max(lengths) == 32


def test_a_model_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileMissing, match="nowhere"):
        compile_model(order(tmp_path / "nowhere"), tmp_path, FakeNeuron())


def test_a_store_that_can_not_be_written_is_told(t5: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelFault, match=r"can not be kept.*--out"):
        compile_model(order(t5, rows=(1,)), tmp_path / "file", FakeNeuron())
