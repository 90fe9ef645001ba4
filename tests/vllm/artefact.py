"""A catalogue whose subjects are the words that the tiny Llama writes. Knows nothing of tests."""

import json
from pathlib import Path

from tests.fixtures.llm.tiny_llama import WORDS

from expander.artefact import content_hash

STAND_IN = ("mystery", "monastery", "medieval")
"""What the catalogue proposes for an interest that names the first of them."""


def write_artefact(path: Path) -> None:
    """Every word is a subject of ten items."""
    number = {word: place for place, word in enumerate(WORDS)}
    related = {"mystery": ("monastery", "medieval")}
    content = {
        "format": 1,
        "items": 1_000,
        "topics": [[word, 10] for word in WORDS],
        "common": [],
        "related": [[[number[other], 0.8] for other in related.get(word, ())] for word in WORDS],
        "phrases": number,
        "words": {},
    }
    path.write_text(json.dumps({"content_hash": content_hash(content), **content}))
