"""A prepared model embeds as its source does, says what it is, and is not published where it does not."""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from encoder import gate
from encoder.artefact import GRAPH, MANIFEST, REPORT, WEIGHTS, is_artefact, open_artefact
from encoder.backends import preparing
from encoder.backends.onnx import OnnxBackend
from encoder.backends.preparing import Order, prepare
from encoder.backends.protocol import embed, goldens
from encoder.errors import FileDamaged, GateNotPassed, ModelUnsupported

OpenModel = Callable[..., OnnxBackend]


@pytest.fixture
def sample(tiny: ModuleType) -> list[str]:
    """Passages of the words that the tiny models know."""
    drawn = np.random.default_rng(4)
    return [" ".join(drawn.choice(tiny.WORDS, drawn.integers(3, 14))) for _ in range(gate.LEAST_LINES)]


@pytest.fixture
def order(t5: Path, tmp_path: Path, sample: list[str]) -> Order:
    return Order(str(t5), tmp_path / "artefact", "fp32", sample=sample)


def with_precision(order: Order, precision: preparing.Precision) -> Order:
    return Order(order.model, order.out, precision, order.prefix, order.max_tokens, order.sample)


def test_an_fp32_artefact_is_of_the_same_space_as_its_folder(order: Order, open_model: OpenModel, tiny: ModuleType) -> None:
    identity = prepare(order)
    folder, artefact = open_model(order.model), open_model(order.out)
    assert artefact.identity == folder.identity == identity
    assert np.array_equal(embed(artefact, tiny.TEXTS), embed(folder, tiny.TEXTS))


def test_an_int8_artefact_is_near_its_folder_small_and_of_a_space_of_its_own(
    order: Order, open_model: OpenModel, tiny: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "OVERLAP", 0.9)  # 24 numbers per embedding round worse than those of real models
    identity = prepare(with_precision(order, "int8"))
    folder, artefact = open_model(order.model), open_model(order.out)
    assert artefact.identity == identity
    assert identity.precision == "int8"
    assert identity.fingerprint != folder.identity.fingerprint
    cosines = (embed(artefact, tiny.TEXTS) * embed(folder, tiny.TEXTS)).sum(axis=1)
    assert cosines.min() > 0.99
    report = json.loads((order.out / REPORT).read_text())
    assert report["mean_cosine"] > gate.MEAN_COSINE
    assert report["overlap"] >= 0.9
    assert report["bytes"][WEIGHTS] == (order.out / WEIGHTS).stat().st_size


def test_batch_composition_does_not_change_an_int8_embedding(
    order: Order, open_model: OpenModel, tiny: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "OVERLAP", 0.9)
    prepare(with_precision(order, "int8"))
    backend = open_model(order.out)
    alone = np.concatenate([backend.run([backend.tokenise(text)]) for text in tiny.TEXTS])
    together = backend.run([backend.tokenise(text) for text in tiny.TEXTS])
    assert np.abs(together - alone).max() < 1e-3
    assert (together * alone).sum(axis=1).min() > 0.99999


def test_the_goldens_are_what_the_artefact_gives(order: Order, open_model: OpenModel) -> None:
    prepare(order)
    backend = open_model(order.out)
    told = goldens(backend)
    assert told is not None
    assert len(told.texts) == preparing.GOLDENS
    assert max(len(backend.tokenise(text)) for text in told.texts) == backend.identity.max_tokens
    assert ((embed(backend, told.texts) * told.embeddings).sum(axis=1) > 1 - told.tolerance).all()


def test_a_folder_has_no_goldens(t5: Path, open_model: OpenModel) -> None:
    assert goldens(open_model(t5)) is None


def test_a_model_that_int8_ruins_is_not_published_and_the_error_says_by_how_much(order: Order, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "MEAN_COSINE", 1.1)
    with pytest.raises(GateNotPassed, match=r"mean cosine 0\.9\d+ \(goal 1\.1\), top-10 overlap 0\.\d+.*encoder\.block.*--precision fp32"):
        prepare(with_precision(order, "int8"))
    assert sorted(path.name for path in order.out.parent.iterdir()) == ["tiny-t5"]


def test_a_spiece_file_becomes_the_artefacts_tokeniser(order: Order, tmp_path: Path, open_model: OpenModel, t5: Path) -> None:
    from tests.unit.encoder.backends.test_spiece import spiece

    (t5 / "tokenizer.json").unlink()
    spiece(t5)
    (t5 / "tokenizer_config.json").write_text('{"extra_ids": 3}')
    prepare(order)
    folder, artefact = open_model(t5), open_model(order.out)
    assert folder.tokenise("space opera <extra_id_2>") == artefact.tokenise("space opera <extra_id_2>") == [4, 5, 9, 1]
    assert not (order.out / "spiece.model").exists()
    assert artefact.identity == folder.identity


def test_prefix_and_limit_are_the_artefacts_own(order: Order, open_model: OpenModel) -> None:
    prepare(Order(order.model, order.out, "fp32", "love in ", 9, order.sample))
    backend = open_model(order.out)
    assert (backend.identity.prefix, backend.identity.max_tokens) == ("love in ", 9)
    assert np.allclose(embed(backend, ["paris"]), embed(open_model(order.model), ["love in paris"]), atol=1e-6)
    assert open_model(order.out, prefix="love in ", max_tokens=9).identity == backend.identity
    with pytest.raises(ModelUnsupported, match=r"ENCODER_PREFIX is 'a '.*'love in '"):
        open_model(order.out, prefix="a ")
    with pytest.raises(ModelUnsupported, match=r"ENCODER_MAX_TOKENS is 8.*9"):
        open_model(order.out, max_tokens=8)


def test_a_pinned_hash_is_that_of_the_artefacts_weights(order: Order, open_model: OpenModel) -> None:
    prepare(order)
    pinned = json.loads((order.out / MANIFEST).read_text())["files"][WEIGHTS]["sha256"]
    assert open_model(order.out, weights_sha256=pinned).identity == open_artefact(order.out).identity
    with pytest.raises(FileDamaged, match=r"weights\.bin has SHA-256"):
        open_model(order.out, weights_sha256="0" * 64)


@pytest.mark.parametrize("name", [GRAPH, WEIGHTS])
def test_a_damaged_artefact_is_refused_before_the_runtime_reads_it(name: str, order: Order, open_model: OpenModel) -> None:
    prepare(order)
    content = bytearray((order.out / name).read_bytes())
    content[-1] ^= 1
    (order.out / name).write_bytes(content)
    with pytest.raises(FileDamaged, match=rf"{name} has SHA-256"):
        open_model(order.out)


def test_the_same_model_is_prepared_to_the_same_bytes(order: Order, tmp_path: Path) -> None:
    prepare(order)
    again = prepare(Order(order.model, tmp_path / "again", "fp32", sample=order.sample))
    assert is_artefact(tmp_path / "again")
    for name in (GRAPH, WEIGHTS):
        assert (tmp_path / "again" / name).read_bytes() == (order.out / name).read_bytes()
    assert again == open_artefact(order.out).identity
