"""The hashing backend: no model, the same embeddings everywhere."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoder.backends.hashing import HashingBackend

PROGRAM = (
    "from encoder.backends.hashing import HashingBackend as H; import sys;"
    "print(H(64, 0, '', lambda t, p: None).embed(['space opera'])[0].tobytes().hex());"
    "print(sorted({'onnx', 'onnxruntime', 'tokenizers'} & set(sys.modules)))"
)


def backend(dimension: int = 384, max_words: int = 0, prefix: str = "") -> HashingBackend:
    return HashingBackend(dimension, max_words, prefix, lambda tokens, positions: None)


@given(st.lists(st.text(max_size=50), min_size=1, max_size=5))
def test_any_text_has_a_unit_length_embedding(texts: list[str]) -> None:
    embeddings = backend(32).embed(texts)
    assert embeddings.dtype == np.float32
    assert np.abs(np.linalg.norm(embeddings, axis=1) - 1).max() < 1e-5


@given(st.text(max_size=80), st.text(max_size=80))
def test_what_else_is_in_the_batch_changes_nothing(text: str, other: str) -> None:
    assert np.array_equal(backend().embed([other, text])[1], backend().embed([text])[0])


def test_an_embedding_is_the_same_in_every_process() -> None:
    here = backend(64).embed(["space opera"])[0].tobytes().hex()
    for seed in ("1", "2"):
        ran = subprocess.run([sys.executable, "-c", PROGRAM], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True)
        there, heavy_modules = ran.stdout.splitlines()
        assert there == here
        assert heavy_modules == "[]"


def test_an_embedding_is_the_same_on_every_platform() -> None:
    embedding = backend(64).embed(["space opera with political intrigue"])[0]
    assert int(np.abs(embedding).argmax()) == 50
    assert embedding[50] == pytest.approx(0.7053488, abs=1e-6)


def test_texts_that_share_words_or_word_parts_are_nearer() -> None:
    query, same_words, same_parts, other = backend().embed(["space opera", "an opera in space", "spaces and operas", "garden recipes"])
    assert query @ same_words > query @ same_parts > query @ other + 0.05


def test_case_and_compatibility_forms_do_not_matter() -> None:
    plain, shouted, wide = backend().embed(["space opera", "SPACE OPERA", "ｓｐａｃｅ opera"])
    assert np.array_equal(plain, shouted)
    assert np.array_equal(plain, wide)


def test_texts_without_words_have_embeddings_of_their_own() -> None:
    empty, marks, others = backend().embed(["", "!?", "***"])
    assert not np.array_equal(marks, others)
    assert not np.array_equal(empty, marks)


def test_words_beyond_the_limit_are_cut() -> None:
    cut, same = backend(max_words=3).embed(["one two three four five", "one two three"])
    assert np.array_equal(cut, same)


def test_a_prefix_changes_embedding_and_fingerprint() -> None:
    assert not np.array_equal(backend().embed(["dune"]), backend(prefix="query: ").embed(["dune"]))
    assert backend().identity.fingerprint != backend(prefix="query: ").identity.fingerprint
