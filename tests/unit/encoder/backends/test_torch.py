"""The torch backend gives the embeddings of the fp32 graph, reads the same tensors, and refuses what it can not compute."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from encoder.backends.protocol import Backend, embed, open_backend
from encoder.errors import FileDamaged, ModelUnsupported
from encoder.ladder import Ladder
from encoder.settings import Settings

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("default")]

from encoder.backends.torch import TorchBackend, cuda_ladder, few_shapes  # noqa: E402  # needs torch

Unpack = Callable[[list[str]], NDArray[np.float32]]
VARIANTS = [("t5", "v1.0-relu-tied"), ("t5", "v1.1-gated-gelu-untied"), ("t5", "gated-silu-few-buckets"), ("t5", "sentence-t5-projection")]
VARIANTS += [("t5", "full-checkpoint"), ("bert", "bert-mean"), ("bert", "bert-cls-tanh-projection"), ("bert", "roberta")]


def open_torch(model: Path, **settings: Any) -> Backend:
    return open_backend(Settings(**{"backend": "torch", "model": str(model)} | settings))


def write(tiny: ModuleType, family: str, variant: str, folder: Path) -> Path:
    written: Path = (tiny.write_t5 if family == "t5" else tiny.write_bert)(folder / variant, variant)
    return written


@pytest.mark.parametrize(("family", "variant"), VARIANTS)
def test_fp32_gives_the_embeddings_of_transformers(
    family: str, variant: str, tmp_path: Path, tiny: ModuleType, goldens: dict[str, Any], unpack: Unpack
) -> None:
    backend = open_torch(write(tiny, family, variant, tmp_path))
    assert np.abs(embed(backend, tiny.TEXTS) - unpack(goldens[variant])).max() < 1e-5


@pytest.mark.parametrize(("family", "variant"), VARIANTS)
def test_bf16_is_near_fp32_and_is_another_space(
    family: str, variant: str, tmp_path: Path, tiny: ModuleType, goldens: dict[str, Any], unpack: Unpack
) -> None:
    backend = open_torch(write(tiny, family, variant, tmp_path), device="cpu/bf16")
    assert (embed(backend, tiny.TEXTS) * unpack(goldens[variant])).sum(axis=1).min() > 0.995
    assert "/bf16/" in backend.identity.fingerprint


def test_every_variant_the_fixtures_know_is_compared(tiny: ModuleType) -> None:
    assert {variant for _, variant in VARIANTS} == {*tiny.T5_VARIANTS, *tiny.BERT_VARIANTS}


def test_minilm_gives_the_embeddings_of_transformers(goldens: dict[str, Any], unpack: Unpack) -> None:
    backend = open_torch(Path("minilm"))
    assert np.abs(embed(backend, goldens["minilm"]["texts"]) - unpack(goldens["minilm"]["embeddings"])).max() < 2e-6


@pytest.mark.parametrize("family", ["t5", "bert"])
def test_a_checkpoint_without_one_of_its_tensors_is_refused_by_name(family: str, tmp_path: Path, tiny: ModuleType) -> None:
    config = tiny.T5 if family == "t5" else tiny.BERT
    tensors = (tiny.t5_tensors if family == "t5" else tiny.bert_tensors)(config, tiny.Weights(1))
    lost = sorted(name for name in tensors if "1.layer" in name or "layer.1" in name)[-1]
    del tensors[lost]
    tiny.write_folder(tmp_path / "lost", family, config, tensors)
    with pytest.raises(FileDamaged, match=lost.replace(".", r"\.")):
        open_torch(tmp_path / "lost")


def test_a_checkpoint_of_another_size_than_its_config_is_refused_by_name(t5: Path) -> None:
    config = (t5 / "config.json").read_text()
    (t5 / "config.json").write_text(config.replace('"d_kv": 6', '"d_kv": 8'))
    with pytest.raises(FileDamaged, match=r"SelfAttention.*\(24, 24\).*\(32, 24\)"):
        open_torch(t5)


def test_weights_that_give_no_number_are_refused_at_start(tmp_path: Path, tiny: ModuleType) -> None:
    tensors = tiny.t5_tensors(tiny.T5, tiny.Weights(1))
    tensors["encoder.final_layer_norm.weight"][3] = np.nan
    tiny.write_folder(tmp_path / "nan", "t5", tiny.T5, tensors)
    with pytest.raises(FileDamaged, match="no finite unit-length embedding"):
        open_torch(tmp_path / "nan")


def test_a_padding_token_that_is_written_in_a_text_counts_as_a_position(tmp_path: Path, tiny: ModuleType) -> None:
    folder = write(tiny, "bert", "roberta", tmp_path)
    graph = open_backend(Settings(model=str(folder), state_dir=tmp_path / "state"))
    texts = ["space [PAD] opera", "[PAD]"]
    assert np.abs(embed(open_torch(folder), texts) - embed(graph, texts)).max() < 1e-5


@pytest.mark.parametrize(("device", "message"), [("trn1/bf16", "ENCODER_BACKEND=neuron"), ("cuda/bf16", "no CUDA device")])
def test_a_device_it_can_not_compute_on_is_refused(device: str, message: str, t5: Path) -> None:
    if device.startswith("cuda") and torch.cuda.is_available():
        pytest.skip("here is a CUDA device")
    with pytest.raises(ModelUnsupported, match=message):
        open_torch(t5, device=device)


def test_the_graph_refuses_a_device_that_it_would_not_compute_on(t5: Path) -> None:
    with pytest.raises(ModelUnsupported, match=r"cuda/bf16.*ENCODER_BACKEND=torch"):
        open_torch(t5, backend="onnx", device="cuda/bf16")


def test_batches_for_a_gpu_have_few_shapes_and_hold_all_passages() -> None:
    ladder = cuda_ladder(512)
    shapes = {few_shapes(rows, longest, ladder) for rows in range(1, ladder.texts + 1) for longest in range(1, 513)}
    assert len(shapes) <= 28 * len(ladder.lengths)
    for rows, longest in ((1, 1), (9, 17), (85, 384), (200, 40), (256, 512)):
        padded, length = few_shapes(rows, longest, ladder)
        assert rows <= padded < rows * 1.25
        assert longest <= length
    assert few_shapes(85, 384, Ladder((128, 384), 256, 32_768)) == (96, 384)


class Cramped(torch.nn.Module):  # type: ignore[misc, name-defined]  # torch is not typed here
    """A module on a device that has room for so many rows only."""

    def __init__(self, module: Any, rows: int) -> None:
        super().__init__()
        self.module, self.rows, self.ran = module, rows, list[int]()

    def forward(self, ids: Any, mask: Any) -> Any:
        if len(ids) > self.rows:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        self.ran.append(len(ids))
        return self.module(ids, mask)


def test_what_a_gpu_has_no_room_for_at_once_is_run_in_halves(t5: Path, tiny: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = open_torch(t5)
    assert isinstance(backend, TorchBackend)
    passages = [backend.tokenise(text) for text in tiny.TEXTS]
    exact, cramped = backend.run(passages), Cramped(backend._module, 2)
    monkeypatch.setattr(backend, "_module", cramped)
    assert np.abs(backend.run(passages) - exact).max() < 1e-6
    assert max(cramped.ran) == 2
    assert sum(cramped.ran) == len(passages)
    cramped.rows = 0
    with pytest.raises(torch.OutOfMemoryError):
        backend.run(passages)


def test_padding_to_a_shape_changes_no_embedding(t5: Path, tiny: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = open_torch(t5)
    assert isinstance(backend, TorchBackend)
    passages = [backend.tokenise(text) for text in tiny.TEXTS]
    exact = backend.run(passages)
    monkeypatch.setattr(backend, "_shape", lambda batch: few_shapes(len(batch), max(map(len, batch)), backend.ladder))  # as for a GPU
    monkeypatch.setattr(backend, "ladder", Ladder((128, 256), 16, 32_768))
    assert np.abs(backend.run([*passages, passages[0], passages[1]])[: len(passages)] - exact).max() < 1e-6
