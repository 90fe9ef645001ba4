"""What the tests of the distillation share: a tiny tokeniser, and the encoder's backend over a folder."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def tiny_tokeniser() -> dict[str, Any]:
    """A WordPiece tokenizer.json of 40 tokens: specials, then w3 to w39."""
    ids = {"[PAD]": 0, "[CLS]": 1, "[SEP]": 2, **{f"w{place}": place for place in range(3, 39)}, "[UNK]": 39}
    special = {token: {"id": token, "ids": [ids[token]], "tokens": [token]} for token in ("[CLS]", "[SEP]")}
    single: list[dict[str, Any]] = [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    single.append({"SpecialToken": {"id": "[SEP]", "type_id": 0}})
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "TemplateProcessing", "single": single, "pair": single, "special_tokens": special},
        "decoder": None,
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": ids,
        },
    }


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[[Path], Any]]:
    """Opens a model folder with the encoder's default backend, closed again after the test."""
    from encoder.backends.protocol import open_backend
    from encoder.settings import Settings

    backends: list[Any] = []

    def open_folder(model: Path) -> Any:
        backends.append(open_backend(Settings(model=str(model), state_dir=tmp_path / "state")))
        return backends[-1]

    yield open_folder
    for backend in backends:
        backend.close()
