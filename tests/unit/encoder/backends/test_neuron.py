"""The Neuron backend embeds in compiled shapes only, around places that fail, and refuses at start what it can not prove."""

import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from encoder.backends.protocol import batches, embed, open_backend
from encoder.canary import CANARY
from encoder.errors import EmbeddingBroken, FileDamaged, FileMissing, ModelFault, ModelUnsupported
from encoder.settings import Settings

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("default")]

from tests.fakes.neuron import FakeNeuron  # noqa: E402  # needs torch

from encoder.backends.neuron import NeuronBackend  # noqa: E402
from encoder.backends.neuron_compile import Order, compile_model  # noqa: E402

ORDER: dict[str, Any] = {"target": "trn1", "precision": "fp32", "max_tokens": 48, "rows": (1, 4), "lengths": (16,)}
PLACES = {"1x16.pt", "4x16.pt", "1x48.pt", "4x48.pt"}
OpenNeuron = Callable[..., NeuronBackend]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory, tiny: ModuleType) -> tuple[Path, Path]:
    """The folder of a model and that of its compiled form."""
    folder = tiny.write_t5(tmp_path_factory.mktemp("model") / "tiny-t5", "sentence-t5-projection")
    return folder, compile_model(Order(str(folder), **ORDER), tmp_path_factory.mktemp("store"), FakeNeuron())


@pytest.fixture
def home(compiled: tuple[Path, Path], tmp_path: Path) -> Path:
    """A compiled model that a test may damage."""
    return Path(shutil.copytree(compiled[1], tmp_path / "store" / compiled[1].name))


@pytest.fixture
def open_neuron(home: Path) -> OpenNeuron:
    def opened(neuron: FakeNeuron, pauses: list[float] | None = None, **settings: Any) -> NeuronBackend:
        chosen = {"backend": "neuron", "device": "trn1/fp32", "model": str(home)} | settings
        return NeuronBackend(Settings(**chosen), lambda tokens, positions: None, neuron, (pauses if pauses is not None else []).append)

    return opened


def test_it_gives_the_embeddings_of_the_graph_and_says_so(
    compiled: tuple[Path, Path], tmp_path: Path, tiny: ModuleType, open_neuron: OpenNeuron
) -> None:
    backend = open_neuron(FakeNeuron())
    graph = open_backend(Settings(model=str(compiled[0]), state_dir=tmp_path / "state", max_tokens=48))
    assert backend.identity.fingerprint == graph.identity.fingerprint
    assert (embed(backend, tiny.TEXTS) * embed(graph, tiny.TEXTS)).sum(axis=1).min() > 0.9999


def test_the_model_is_found_in_its_store_too(home: Path, open_neuron: OpenNeuron) -> None:
    by_store, by_path = open_neuron(FakeNeuron(), model=str(home.parent)), open_neuron(FakeNeuron())
    assert by_store.identity == by_path.identity


def test_every_bucket_is_loaded_and_proved_on_every_core_and_none_compiled(open_neuron: OpenNeuron) -> None:
    device = FakeNeuron()
    open_neuron(device, threads=2)
    assert set(device.loaded) == set(device.ran) == {(name, core) for name in PLACES for core in (0, 1)}
    assert device.compiled == []


@pytest.mark.parametrize(("threads", "cores"), [(0, 1), (1, 1), (2, 2)])
def test_a_service_runs_as_many_batches_at_once_as_it_has_cores(threads: int, cores: int, open_neuron: OpenNeuron) -> None:
    assert open_neuron(FakeNeuron(), threads=threads).ladder.runs == cores


def test_a_batch_runs_in_the_smallest_bucket_that_holds_it(open_neuron: OpenNeuron) -> None:
    device = FakeNeuron()
    backend = open_neuron(device)
    device.ran.clear()
    backend.run([backend.tokenise("love in paris")])
    backend.run([backend.tokenise("love in paris")] * 3)
    backend.run([backend.tokenise("dragon " * 30)])
    assert [name for name, _ in device.ran] == ["1x16.pt", "4x16.pt", "1x48.pt"]


def test_more_than_a_bucket_holds_is_run_in_parts(open_neuron: OpenNeuron, tiny: ModuleType) -> None:
    device = FakeNeuron()
    backend = open_neuron(device)
    passages = [backend.tokenise(text) for text in tiny.TEXTS * 3]
    alone = np.concatenate([backend.run([passage]) for passage in passages])
    device.ran.clear()
    assert np.abs(backend.run(passages) - alone).max() < 1e-6
    assert len(device.ran) <= len(batches([len(passage) for passage in passages], backend.ladder)) + 1


def test_cores_that_are_taken_at_first_are_waited_for(open_neuron: OpenNeuron) -> None:
    device, pauses = FakeNeuron(), list[float]()
    device.busy = 3
    assert open_neuron(device, pauses).identity.backend == "neuron"
    assert pauses == [1.0, 2.0, 4.0]


def test_cores_that_stay_taken_end_the_start(open_neuron: OpenNeuron) -> None:
    device, pauses = FakeNeuron(), list[float]()
    device.busy = 1000
    with pytest.raises(ModelFault, match=r"1x16\.pt.*nrt_allocate_neuron_cores.*ENCODER_THREADS"):
        open_neuron(device, pauses)
    assert sum(pauses) == 15


def test_a_program_for_another_device_than_it_was_compiled_for_ends_the_start(open_neuron: OpenNeuron) -> None:
    with pytest.raises(ModelFault, match="the NEFF is for trn1"):
        open_neuron(FakeNeuron(target="inf2"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"device": "trn2/fp32"}, "target is trn1, wanted trn2"),
        ({"device": "trn1/bf16"}, "precision is fp32, wanted bf16"),
        ({"max_tokens": 47}, "max_tokens is 48, wanted 47"),
        ({"device": "cpu/fp32"}, "inf2, trn1, trn1n or trn2"),
        ({"weights_sha256": "0" * 64}, "leave it empty"),
    ],
)
def test_what_was_not_compiled_is_refused_and_never_compiled(settings: dict[str, Any], message: str, open_neuron: OpenNeuron) -> None:
    device = FakeNeuron()
    with pytest.raises(ModelUnsupported, match=message):
        open_neuron(device, **settings)
    assert not device.compiled
    assert not device.loaded


def test_another_version_of_the_runtime_is_refused(open_neuron: OpenNeuron) -> None:
    with pytest.raises(ModelUnsupported, match=r"torch-neuronx is 2\.9\.0\.2\.11, wanted 2\.9\.1"):
        open_neuron(FakeNeuron(versions={"torch-neuronx": "2.9.1"}))


def test_a_trace_that_is_not_there_is_refused_by_name_and_nothing_is_loaded(home: Path, open_neuron: OpenNeuron) -> None:
    device = FakeNeuron()
    (home / "4x48.pt").unlink()
    with pytest.raises(FileMissing, match=r"4x48\.pt"):
        open_neuron(device)
    assert device.loaded == []


@pytest.mark.parametrize("added", [float("nan"), 0.3])
def test_a_device_that_gives_other_numbers_than_the_machine_that_compiled_is_refused(added: float, open_neuron: OpenNeuron) -> None:
    device = FakeNeuron()
    device.wrong[("4x16.pt", 1)] = added
    with pytest.raises(FileDamaged, match=r"4x16\.pt on core 1.*cosine"):
        open_neuron(device, threads=2)


def test_a_device_that_fails_when_it_is_proved_is_refused(open_neuron: OpenNeuron) -> None:
    device = FakeNeuron()
    device.failing.add(("1x48.pt", 0))
    with pytest.raises(ModelFault, match=r"1x48\.pt fails on core 0.*status=1200"):
        open_neuron(device)


@pytest.mark.parametrize("fault", ["raises", "nan"])
def test_another_place_stands_in_for_one_that_fails_and_it_is_left_alone_then(fault: str, open_neuron: OpenNeuron) -> None:
    device = FakeNeuron()
    backend = open_neuron(device)
    sound = backend.run([backend.tokenise(CANARY)])
    if fault == "raises":
        device.failing.add(("1x16.pt", 0))
    else:
        device.wrong[("1x16.pt", 0)] = float("nan")
    device.ran.clear()
    assert np.abs(backend.run([backend.tokenise(CANARY)]) - sound).max() < 1e-6
    backend.run([backend.tokenise(CANARY)])
    assert device.ran == [("1x16.pt", 0), ("1x48.pt", 0), ("1x48.pt", 0)]


def test_the_other_core_stands_in_first(open_neuron: OpenNeuron) -> None:
    device = FakeNeuron()
    backend = open_neuron(device, threads=2)
    device.failing.add(("1x16.pt", 0))
    device.ran.clear()
    backend.run([backend.tokenise(CANARY)])
    assert device.ran == [("1x16.pt", 0), ("1x16.pt", 1)]


def test_one_row_at_a_time_stands_in_where_the_large_bucket_fails(open_neuron: OpenNeuron, tiny: ModuleType) -> None:
    device = FakeNeuron()
    backend = open_neuron(device)
    passages = [backend.tokenise(text) for text in tiny.TEXTS[:4]]
    sound = backend.run(passages)
    device.failing |= {("4x16.pt", 0), ("4x48.pt", 0)}
    assert np.abs(backend.run(passages) - sound).max() < 1e-6


def test_passages_that_no_place_embeds_fail_after_a_few_tries_and_no_place_is_blamed(open_neuron: OpenNeuron) -> None:
    device = FakeNeuron()
    backend = open_neuron(device, threads=2)
    device.failing |= {(name, core) for name in PLACES for core in (0, 1)}
    device.ran.clear()
    with pytest.raises(EmbeddingBroken, match=r"1x16 on core 0, 1x16 on core 1.*status=1200"):
        backend.run([backend.tokenise(CANARY)])
    assert len(device.ran) == 3
    device.failing.clear()
    device.ran.clear()
    assert backend.run([backend.tokenise(CANARY)]).shape == (1, 16)
    assert device.ran == [("1x16.pt", 0)]


def test_a_core_that_hangs_keeps_only_its_own_batch(open_neuron: OpenNeuron) -> None:
    device = FakeNeuron()
    backend = open_neuron(device, threads=2)
    device.gates[0] = threading.Event()
    device.ran.clear()
    passages = [backend.tokenise(CANARY)]
    with ThreadPoolExecutor(1) as pool:
        hung = pool.submit(backend.run, passages)
        while not device.ran:
            threading.Event().wait(0.001)
        others = [backend.run(passages) for _ in range(4)]
        assert not hung.done()
        device.gates[0].set()
        assert all(np.array_equal(other, hung.result(10)) for other in others)
    assert device.ran == [("1x16.pt", 0), *[("1x16.pt", 1)] * 4]


def test_the_goldens_are_told_unless_a_prefix_makes_other_passages_of_them(open_neuron: OpenNeuron) -> None:
    plain, prefixed = open_neuron(FakeNeuron()), open_neuron(FakeNeuron(), prefix="love in ")
    goldens = plain.goldens()
    assert goldens is not None
    assert prefixed.goldens() is None
    assert (embed(plain, goldens.texts) * goldens.embeddings).sum(axis=1).min() > 1 - goldens.tolerance
    assert np.abs(embed(prefixed, ["paris"]) - embed(plain, ["love in paris"])).max() < 1e-6


def test_the_setting_without_its_packages_is_refused_with_the_remedy(home: Path) -> None:
    with pytest.raises(ModelUnsupported, match=r"torch_neuronx is not installed.*Neuron SDK"):
        open_backend(Settings(backend="neuron", device="trn1/fp32", model=str(home)))
