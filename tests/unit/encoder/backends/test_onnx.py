"""The ONNX backend embeds as transformers does, whatever else is in the batch."""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from encoder.backends.onnx import OnnxBackend
from encoder.backends.protocol import embed
from encoder.errors import FileDamaged, ModelUnsupported

Unpack = Callable[[list[str]], NDArray[np.float32]]
OpenModel = Callable[..., OnnxBackend]
T5_VARIANTS = ("v1.0-relu-tied", "v1.1-gated-gelu-untied", "gated-silu-few-buckets", "sentence-t5-projection", "full-checkpoint")
BERT_VARIANTS = ("bert-mean", "bert-cls-tanh-projection", "roberta")


def test_minilm_gives_the_embeddings_of_transformers(minilm: OnnxBackend, goldens: dict[str, Any], unpack: Unpack) -> None:
    expected = unpack(goldens["minilm"]["embeddings"])
    assert np.abs(embed(minilm, goldens["minilm"]["texts"]) - expected).max() < 2e-6


@pytest.mark.parametrize("variant", T5_VARIANTS)
def test_a_t5_gives_the_embeddings_of_transformers(
    variant: str, tmp_path: Path, tiny: ModuleType, open_model: OpenModel, goldens: dict[str, Any], unpack: Unpack
) -> None:
    backend = open_model(tiny.write_t5(tmp_path / variant, variant))
    assert np.abs(embed(backend, tiny.TEXTS) - unpack(goldens[variant])).max() < 1e-5


@pytest.mark.parametrize("variant", BERT_VARIANTS)
def test_a_bert_gives_the_embeddings_of_transformers(
    variant: str, tmp_path: Path, tiny: ModuleType, open_model: OpenModel, goldens: dict[str, Any], unpack: Unpack
) -> None:
    backend = open_model(tiny.write_bert(tmp_path / variant, variant))
    assert np.abs(embed(backend, tiny.TEXTS) - unpack(goldens[variant])).max() < 1e-5


def test_an_mt5_is_a_t5_of_another_name(tmp_path: Path, tiny: ModuleType, open_model: OpenModel) -> None:
    t5, mt5 = (tiny.write_t5(tmp_path / name, "v1.1-gated-gelu-untied") for name in ("t5", "mt5"))
    config = json.loads((mt5 / "config.json").read_text()) | {"model_type": "mt5", "architectures": ["MT5EncoderModel"]}
    (mt5 / "config.json").write_text(json.dumps(config))
    first, second = (embed(open_model(model), tiny.TEXTS) for model in (t5, mt5))
    assert np.array_equal(first, second)


def test_every_variant_the_fixtures_know_is_compared(tiny: ModuleType) -> None:
    assert set(T5_VARIANTS) == set(tiny.T5_VARIANTS)
    assert set(BERT_VARIANTS) == set(tiny.BERT_VARIANTS)


@pytest.mark.parametrize("stored", ["float16", "bfloat16"])
def test_half_precision_checkpoints_are_computed_in_float32(
    stored: str, tmp_path: Path, tiny: ModuleType, open_model: OpenModel, goldens: dict[str, Any], unpack: Unpack
) -> None:
    kind = tiny.BFLOAT16 if stored == "bfloat16" else stored
    embeddings = embed(open_model(tiny.write_t5(tmp_path / stored, stored=kind)), tiny.TEXTS)
    cosines = (embeddings * unpack(goldens["v1.0-relu-tied"])).sum(axis=1)
    assert cosines.min() > (0.99 if stored == "bfloat16" else 0.9999)
    assert np.abs(np.linalg.norm(embeddings, axis=1) - 1).max() < 1e-6


def test_padding_does_not_change_an_embedding(minilm: OnnxBackend) -> None:
    alone = embed(minilm, ["space opera"])
    beside_long = embed(minilm, ["space opera", "political intrigue in a distant empire " * 20])
    assert np.abs(alone[0] - beside_long[0]).max() < 1e-6


def test_batch_composition_does_not_change_an_embedding(t5: Path, tiny: ModuleType, open_model: OpenModel) -> None:
    backend = open_model(t5)
    random = np.random.default_rng(7)
    texts = [" ".join(random.choice(tiny.WORDS, random.integers(1, 60))) for _ in range(50)]
    alone = np.concatenate([embed(backend, [text]) for text in texts])
    order = random.permutation(len(texts))
    together = embed(backend, [texts[index] for index in order])
    assert np.abs(together - alone[order]).max() < 2e-6


def test_the_same_text_gives_the_same_bytes(minilm: OnnxBackend) -> None:
    assert embed(minilm, ["ghosts in the machine"]).tobytes() == embed(minilm, ["ghosts in the machine"]).tobytes()


def test_a_passage_is_cut_at_the_limit(t5: Path, open_model: OpenModel) -> None:
    backend = open_model(t5, max_tokens=5)
    assert backend.identity.max_tokens == 5
    cut, same_start, different_start = embed(
        backend, ["a dragon and the last king", "a dragon and the war", "love in paris and the last king"]
    )
    assert np.abs(cut - same_start).max() < 1e-6
    assert np.abs(cut - different_start).max() > 0.01


def test_the_default_model_is_cut_where_its_own_file_says(minilm: OnnxBackend) -> None:
    assert minilm.identity.max_tokens == 256
    long = embed(minilm, ["dragon " * 254, "dragon " * 254 + "and politics " * 200])
    assert np.abs(long[0] - long[1]).max() < 1e-6


def test_a_limit_beyond_the_models_positions_is_refused(tmp_path: Path, tiny: ModuleType, open_model: OpenModel) -> None:
    with pytest.raises(ModelUnsupported, match=r"301.*300"):
        open_model(tiny.write_bert(tmp_path / "bert"), max_tokens=301)


def test_a_prefix_is_put_before_every_passage(t5: Path, open_model: OpenModel) -> None:
    plain, prefixed = open_model(t5), open_model(t5, prefix="love in ")
    assert np.abs(embed(prefixed, ["paris"]) - embed(plain, ["love in paris"])).max() < 1e-6
    assert prefixed.identity.fingerprint != plain.identity.fingerprint


def test_a_passage_without_any_token_still_has_an_embedding(t5: Path, open_model: OpenModel) -> None:
    tokeniser = (t5 / "tokenizer.json").read_text()
    start = tokeniser.index('"post_processor":')
    end = tokeniser.index('"decoder":')
    (t5 / "tokenizer.json").write_text(tokeniser[:start] + '"post_processor":null,' + tokeniser[end:])
    embeddings = embed(open_model(t5), ["", "love"])
    assert np.abs(np.linalg.norm(embeddings, axis=1) - 1).max() < 1e-6


def test_no_run_holds_more_texts_than_the_setting_and_little_padding(t5: Path, tiny: ModuleType, open_model: OpenModel) -> None:
    runs: list[tuple[int, int]] = []
    backend = open_model(t5, observe=lambda tokens, positions: runs.append((tokens, positions)), batch_texts=4)
    runs.clear()
    embed(backend, [" ".join(tiny.WORDS[:words]) for words in (1, 9, 1, 9, 1, 9, 1, 9)])
    assert sorted(runs) == [(8, 8), (40, 40)]


def test_weights_that_give_no_number_are_refused_at_start(tmp_path: Path, tiny: ModuleType, open_model: OpenModel) -> None:
    config = tiny.T5
    tensors = tiny.t5_tensors(config, tiny.Weights(1))
    tensors["encoder.final_layer_norm.weight"][3] = np.nan
    tiny.write_folder(tmp_path / "nan", "t5", config, tensors)
    with pytest.raises(FileDamaged, match="no finite unit-length embedding"):
        open_model(tmp_path / "nan")


def test_a_checkpoint_of_another_size_than_its_config_is_refused_at_start(t5: Path, open_model: OpenModel) -> None:
    config = (t5 / "config.json").read_text()
    (t5 / "config.json").write_text(config.replace('"d_kv": 6', '"d_kv": 8'))
    with pytest.raises(FileDamaged, match=r"config\.json"):
        open_model(t5)
