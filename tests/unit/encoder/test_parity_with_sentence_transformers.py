"""Live comparison with sentence-transformers, where it is installed: `make test WITH_TORCH=1`."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from encoder.backends.onnx import OnnxBackend
from encoder.backends.protocol import embed

pytest.importorskip("sentence_transformers")
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("default")]

SMALL_T5 = Path(__file__).parents[3] / "models" / "warmstart-t5-mini" / "warmstart_t5_mini" / "warmstart-t5-mini"
LEAST_COSINE = 0.9999
TEXTS = (
    "space opera with political intrigue",
    "classics, gothic, romance: Jane Eyre by Charlotte Brontë",
    "a",
    "Les Misérables – ¿quién?",
    "The last king of winter rides north. " * 60,
)


def encoded(folder: Path) -> Any:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu")
    model.max_seq_length = 256
    return model.encode(list(TEXTS), normalize_embeddings=True)


def test_minilm_is_embedded_as_sentence_transformers_does(minilm: OnnxBackend, load_fixture: Callable[[str], ModuleType]) -> None:
    theirs = encoded(load_fixture("reference").minilm_folder())
    assert np.sum(embed(minilm, TEXTS) * theirs, axis=1).min() >= LEAST_COSINE


def test_the_shipped_t5_is_embedded_as_sentence_transformers_does(open_model: Callable[..., OnnxBackend]) -> None:
    assert np.sum(embed(open_model(SMALL_T5), TEXTS) * encoded(SMALL_T5), axis=1).min() >= LEAST_COSINE
