"""Turns texts into what the model of a folder reads: prefix, case, tokens, the limit at which they are cut. Knows no runtime."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoder.backends.building import architecture
from encoder.backends.folder import ModelFolder
from encoder.backends.tokens import Tokeniser
from encoder.errors import ModelUnsupported

DEFAULT_MAX_TOKENS = 256


class Reader:
    """The tokeniser of one model with the prefix put before every text; `tokenise` may be called from several threads at once."""

    def __init__(self, tokeniser_file: Path, max_tokens: int, padding_id: int, prefix: str, lower_case: bool) -> None:
        self._tokeniser = Tokeniser(tokeniser_file, max_tokens, padding_id)
        self._prefix, self._lower_case, self._padding_id = prefix, lower_case, padding_id

    @classmethod
    def of(cls, folder: ModelFolder, max_tokens: int, prefix: str) -> "Reader":
        """The reader of a model folder."""
        return cls(folder.tokeniser_file, max_tokens, padding_id(folder), prefix, folder.lower_case)

    def tokenise(self, text: str) -> list[int]:
        """The ids of the passage, at least one and at most `max_tokens`."""
        prefixed = self._prefix + text
        return self._tokeniser.encode(prefixed.lower() if self._lower_case else prefixed)

    def pad(self, passages: Sequence[Sequence[int]], rows: int, length: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """`input_ids` and `attention_mask`, both exactly `(rows, length)`.

        Rows without a passage hold one token: of a row without any, attention and mean would be divisions by zero.
        """
        ids, mask = np.full((rows, length), self._padding_id, np.int64), np.zeros((rows, length), np.int64)
        mask[len(passages) :, 0] = 1
        for row, passage in enumerate(passages):
            ids[row, : len(passage)], mask[row, : len(passage)] = passage, 1
        return ids, mask


def padding_id(folder: ModelFolder) -> int:
    """The id of the padding token, which config.json names."""
    return int(folder.config.get("pad_token_id") or 0)


def limit(folder: ModelFolder, asked: int) -> int:
    """Tokens at which a passage is cut: `asked`, or where that is 0 the folder's own limit; raises `ModelUnsupported`."""
    most = architecture(folder).max_tokens(folder.config)
    if most is not None and asked > most:
        raise ModelUnsupported(f"ENCODER_MAX_TOKENS is {asked}, but {folder.root} has positions for {most} tokens; lower it.")
    chosen = asked or folder.max_tokens or DEFAULT_MAX_TOKENS
    return chosen if most is None else min(chosen, most)
