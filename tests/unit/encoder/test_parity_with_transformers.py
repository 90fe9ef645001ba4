"""Live comparison with transformers and torch, where they are installed: `make test WITH_TORCH=1`."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from encoder.backends.onnx import OnnxBackend
from encoder.backends.protocol import embed
from encoder.backends.t5 import buckets

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("default")]

OpenModel = Callable[..., OnnxBackend]
VARIANTS = [
    ("t5", name)
    for name in ("v1.0-relu-tied", "v1.1-gated-gelu-untied", "gated-silu-few-buckets", "sentence-t5-projection", "full-checkpoint")
]
VARIANTS += [("bert", name) for name in ("bert-mean", "bert-cls-tanh-projection", "roberta")]


@pytest.fixture(scope="session")
def reference(load_fixture: Callable[[str], ModuleType]) -> ModuleType:
    """tests/fixtures/encoder/reference.py"""
    return load_fixture("reference")


@pytest.fixture
def report(record_property: Callable[[str, object], None], capsys: pytest.CaptureFixture[str]) -> Callable[[str, float], None]:
    """Prints and records how far an embedding was off."""

    def reported(name: str, difference: float) -> None:
        record_property("max_abs_difference", difference)
        with capsys.disabled():
            print(f"\n{name}: max abs difference {difference:.1e}")

    return reported


def difference(ours: Any, theirs: Any) -> float:
    return float(np.abs(ours - theirs).max())


def test_minilm_is_embedded_as_transformers_does(minilm: OnnxBackend, reference: ModuleType, report: Callable[[str, float], None]) -> None:
    off = difference(embed(minilm, reference.MINILM_TEXTS), reference.embed(reference.minilm_folder(), reference.MINILM_TEXTS))
    report("minilm", off)
    assert off < 2e-6


@pytest.mark.parametrize("seed", [11, 12])
@pytest.mark.parametrize(("family", "variant"), VARIANTS)
def test_tiny_models_are_embedded_as_transformers_does(
    family: str,
    variant: str,
    seed: int,
    tmp_path: Path,
    tiny: ModuleType,
    reference: ModuleType,
    open_model: OpenModel,
    report: Callable[[str, float], None],
) -> None:
    folder = (tiny.write_t5 if family == "t5" else tiny.write_bert)(tmp_path / variant, variant, seed)
    off = difference(embed(open_model(folder), tiny.TEXTS), reference.embed(folder, tiny.TEXTS))
    report(f"{variant}, seed {seed}", off)
    assert off < 1e-5


@pytest.mark.parametrize(("count", "reach"), [(32, 128), (8, 20), (16, 64), (64, 256), (32, 512), (128, 1000)])
def test_relative_positions_fall_into_the_buckets_of_transformers(count: int, reach: int, reference: ModuleType) -> None:
    distances = np.arange(-2 * reach, 2 * reach + 1)
    assert np.array_equal(buckets(distances, count, reach), reference.buckets(distances, count, reach))


def test_the_goldens_are_what_transformers_gives_now(
    goldens: dict[str, Any], unpack: Callable[[list[str]], Any], reference: ModuleType
) -> None:
    assert goldens["minilm"]["texts"] == list(reference.MINILM_TEXTS)
    now = reference.embed(reference.minilm_folder(), reference.MINILM_TEXTS)
    assert difference(unpack(goldens["minilm"]["embeddings"]), now) < 2e-6
