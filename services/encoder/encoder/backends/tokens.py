"""Turns passages into token ids. Knows nothing of models."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from encoder.backends import spiece
from encoder.errors import FileDamaged


class Tokeniser:
    """A tokenizer.json or spiece.model with our own truncation and padding in place of what the file asks for."""

    def __init__(self, file: Path, max_tokens: int, padding_id: int) -> None:
        """Raises `FileDamaged`."""
        self._tokenizer = read(file)
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_tokens)
        self._padding_id = padding_id

    def encode(self, text: str) -> list[int]:
        """The ids of the passage, special tokens included; one padding token where there would be none, so that there is a mean.

        One text at a time: the batch call starts a thread per CPU of the host, more than a container may have.
        """
        return list(self._tokenizer.encode(text).ids) or [self._padding_id]

    def pad(self, passages: Sequence[Sequence[int]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """`input_ids` and `attention_mask`, both `(batch, longest)`."""
        shape = len(passages), max(map(len, passages))
        ids, mask = np.full(shape, self._padding_id, np.int64), np.zeros(shape, np.int64)
        for row, passage in enumerate(passages):
            ids[row, : len(passage)], mask[row, : len(passage)] = passage, 1
        return ids, mask


def read(file: Path) -> Tokenizer:
    """The tokeniser of a file as it is; raises `FileDamaged`."""
    if file.name == spiece.FILE:
        return spiece.read(file)
    try:
        return Tokenizer.from_file(str(file))
    except Exception as error:  # tokenizers raises plain Exception for every fault of a file
        raise FileDamaged(f"{file} is no tokeniser ({error}); fetch it again.") from error
