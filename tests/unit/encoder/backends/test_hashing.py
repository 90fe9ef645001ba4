"""The hashing backend: no model, the same embeddings everywhere."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoder.backends.hashing import HashingBackend
from encoder.backends.protocol import embed

PROGRAM = (
    "from encoder.backends.hashing import HashingBackend as H; import sys; h = H(64, 0, '', lambda t, p: None);"
    "print(h.run([h.tokenise('space opera')])[0].tobytes().hex());"
    "print(sorted({'onnx', 'onnxruntime', 'tokenizers'} & set(sys.modules)))"
)


def backend(dimension: int = 384, max_words: int = 0, prefix: str = "") -> HashingBackend:
    return HashingBackend(dimension, max_words, prefix, lambda tokens, positions: None)


@given(st.lists(st.text(max_size=50), min_size=1, max_size=5))
def test_any_text_has_a_unit_length_embedding(texts: list[str]) -> None:
    embeddings = embed(backend(32), texts)
    assert embeddings.dtype == np.float32
    assert np.abs(np.linalg.norm(embeddings, axis=1) - 1).max() < 1e-5


@given(st.text(max_size=80), st.text(max_size=80))
def test_what_else_is_in_the_batch_changes_nothing(text: str, other: str) -> None:
    assert np.array_equal(embed(backend(), [other, text])[1], embed(backend(), [text])[0])


def test_an_embedding_is_the_same_in_every_process() -> None:
    here = embed(backend(64), ["space opera"])[0].tobytes().hex()
    for seed in ("1", "2"):
        ran = subprocess.run([sys.executable, "-c", PROGRAM], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True)
        there, heavy_modules = ran.stdout.splitlines()
        assert there == here
        assert heavy_modules == "[]"


def test_an_embedding_is_the_same_on_every_platform() -> None:
    embedding = embed(backend(64), ["space opera with political intrigue"])[0]
    assert int(np.abs(embedding).argmax()) == 50
    assert embedding[50] == pytest.approx(0.7053488, abs=1e-6)


def test_texts_that_share_words_or_word_parts_are_nearer() -> None:
    query, same_words, same_parts, other = embed(backend(), ["space opera", "an opera in space", "spaces and operas", "garden recipes"])
    assert query @ same_words > query @ same_parts > query @ other + 0.05


def test_case_and_compatibility_forms_do_not_matter() -> None:
    plain, shouted, wide = embed(backend(), ["space opera", "SPACE OPERA", "ｓｐａｃｅ opera"])
    assert np.array_equal(plain, shouted)
    assert np.array_equal(plain, wide)


def test_texts_without_words_have_embeddings_of_their_own() -> None:
    empty, marks, others = embed(backend(), ["", "!?", "***"])
    assert not np.array_equal(marks, others)
    assert not np.array_equal(empty, marks)


def test_words_beyond_the_limit_are_cut() -> None:
    cut, same = embed(backend(max_words=3), ["one two three four five", "one two three"])
    assert np.array_equal(cut, same)


def test_a_prefix_changes_embedding_and_fingerprint() -> None:
    assert not np.array_equal(embed(backend(), ["dune"]), embed(backend(prefix="query: "), ["dune"]))
    assert backend().identity.fingerprint != backend(prefix="query: ").identity.fingerprint


def test_embeddings_are_the_ones_of_the_first_release() -> None:
    texts = ["", "!?", "space opera", "Ünïcödé ｗｉｄｅ 小説", "long " * 300, " ".join(f"word{number}" for number in range(400))]
    whole = np.concatenate([embed(backend(prefix="passage: "), texts).ravel(), embed(backend(32, max_words=5), texts).ravel()])
    rounded = np.round(whole * 1e5).astype("<i4")  # the last bits are the processor's
    assert hashlib.sha256(rounded.tobytes()).hexdigest() == "dafc168044d14fb926e664b13b4516cbc2d48a326d8812d9e48ac356a511cba0"


def test_a_passage_is_as_long_as_it_has_words_and_never_of_no_length() -> None:
    assert [len(backend(max_words=3).tokenise(text)) for text in ("", "!?", "one", "one two three four")] == [1, 1, 1, 3]


def test_what_was_run_is_told() -> None:
    told: list[tuple[int, int]] = []
    observed = HashingBackend(32, 0, "", lambda tokens, positions: told.append((tokens, positions)))
    observed.run([observed.tokenise(text) for text in ("space opera", "")])
    assert told == [(3, 3)]
