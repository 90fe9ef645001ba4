"""Takes over the teacher's tokeniser without the tokens that no text has. Knows the form of tokenizer.json, no model."""

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

MOST_TOKENS = 256


def trimmed(definition: dict[str, Any]) -> dict[str, Any]:
    """A WordPiece tokenizer.json without `[unused7]` and its like, ids moved up to close the gaps; neither pads nor truncates."""
    known: dict[str, int] = definition["model"]["vocab"]
    kept = [token for token in sorted(known, key=known.__getitem__) if not re.fullmatch(r"\[unused\d+\]", token)]
    ids = {token: place for place, token in enumerate(kept)}
    added = [{**token, "id": ids[token["content"]]} for token in definition["added_tokens"]]
    post = dict(definition["post_processor"])
    post["special_tokens"] = {
        name: {**token, "ids": [ids[piece] for piece in token["tokens"]]} for name, token in post["special_tokens"].items()
    }
    model = {**definition["model"], "vocab": ids}
    return {**definition, "truncation": None, "padding": None, "added_tokens": added, "post_processor": post, "model": model}


def teachers_ids(teacher: dict[str, Any], student: dict[str, Any]) -> list[int]:
    """For each id of the student's vocabulary, the teacher's id of the same token."""
    known: dict[str, int] = teacher["model"]["vocab"]
    ids: dict[str, int] = student["model"]["vocab"]
    return [known[token] for token in sorted(ids, key=ids.__getitem__)]


def read(folder: Path) -> dict[str, Any]:
    """The definition in a model folder."""
    definition: dict[str, Any] = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    return definition


def vocabulary(definition: dict[str, Any]) -> list[str]:
    """The tokens in the order of their ids."""
    ids: dict[str, int] = definition["model"]["vocab"]
    return sorted(ids, key=ids.__getitem__)


def encoded(definition: dict[str, Any], texts: Iterable[str]) -> list[Sequence[int]]:
    """The ids of each text, special tokens included, at most `MOST_TOKENS`."""
    tokenizer = Tokenizer.from_str(json.dumps(definition))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MOST_TOKENS)
    return [tokenizer.encode(text).ids for text in texts]
