"""Fingerprints differ exactly where embeddings do."""

from dataclasses import replace
from typing import Any

import pytest

from encoder.fingerprint import Identity

IDENTITY = Identity("minilm-l6-v2", "ab" * 32, "fp32", "mean", "l2", "", 384, 256, backend="onnx")


def test_a_fingerprint_is_readable_and_stable() -> None:
    assert IDENTITY.fingerprint == "minilm-l6-v2/fp32/mean/l2/384/256/5479d4c97989"


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("model", "other"),
        ("weights", "cd" * 32),
        ("precision", "bf16"),
        ("pooling", "cls"),
        ("normalisation", "none"),
        ("prefix", "query: "),
        ("dimension", 768),
        ("max_tokens", 128),
    ],
)
def test_everything_that_changes_an_embedding_changes_the_fingerprint(part: str, value: Any) -> None:
    assert replace(IDENTITY, **{part: value}).fingerprint != IDENTITY.fingerprint


def test_what_runs_the_model_does_not_change_the_fingerprint() -> None:
    assert replace(IDENTITY, backend="torch").fingerprint == IDENTITY.fingerprint


def test_a_fingerprint_can_stand_in_a_header() -> None:
    assert replace(IDENTITY, model="módel name/1").fingerprint.startswith("m-del-name-1/fp32/")


def test_what_it_may_be_cut_to_does_not_change_the_fingerprint() -> None:
    assert replace(IDENTITY, dimensions=(64, 128)).fingerprint == IDENTITY.fingerprint
