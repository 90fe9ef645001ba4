"""The id of every item number, in memory without an object for each. Knows nothing of items and storage.

A number belongs to one id for ever, so what a view knows of never changes; one writer writes behind that, and anew what was not committed.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from retriever.items import Rows
from retriever.memory import Column


class Names:
    """UTF-8 of all ids behind each other, and where that of each number ends."""

    def __init__(self) -> None:
        self._ends, self._known = Column(), 0
        self._text: NDArray[np.uint8] = np.empty(1_024, np.uint8)

    def write(self, numbers: Rows, names: Sequence[str]) -> None:
        """Gives `numbers` their names. Those in between have none, and what was written from the first on is forgotten.

        Raises ValueError unless they ascend.
        """
        if not len(numbers):
            return
        if (np.diff(numbers) < 1).any():
            raise ValueError("the numbers of items do not ascend")
        first, encoded = int(numbers[0]), [name.encode() for name in names]
        if first > self._known:
            self._ends.append(self._known, np.full(first - self._known, self._end(self._known), np.int64))
        at = self._end(first)
        lengths = np.zeros(int(numbers[-1]) + 1 - first, np.int64)
        lengths[numbers - first] = [len(name) for name in encoded]
        ends = at + np.cumsum(lengths)
        self._put(at, b"".join(encoded))
        self._ends.append(first, ends)
        self._known = first + len(ends)

    def of(self, numbers: Sequence[int]) -> list[str]:
        """The names of numbers that have one."""
        ends, text = self._ends.first(max(numbers, default=-1) + 1), self._text
        return [text[ends[number - 1] if number else 0 : ends[number]].tobytes().decode() for number in numbers]

    def _end(self, number: int) -> int:
        """Where the names before `number` end."""
        return int(self._ends.first(number)[-1]) if number else 0

    def _put(self, at: int, text: bytes) -> None:
        end = at + len(text)
        if end > len(self._text):
            grown = np.empty(max(2 * len(self._text), end), np.uint8)
            grown[:at] = self._text[:at]
            self._text = grown  # readers hold either array; both have what they know of
        self._text[at:end] = np.frombuffer(text, np.uint8)
