"""The row in which each item number was last written, without an object for each. Knows nothing of what is in the rows."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from retriever.items import Bools, Rows

PAGE = 4_096
"""Numbers whose rows lie in one array: those of new items ascend, those of changed ones lie anywhere."""


class Places:
    """Of item numbers from 0 on; rows below 2**31."""

    def __init__(self) -> None:
        self._pages: dict[int, NDArray[np.int32]] = {}

    def replace(self, numbers: Rows, rows: Rows) -> Rows:
        """Notes that `numbers` `(m,)` are now in `rows`, one after the other. Returns the row in which each was before, or -1."""
        before = np.full(len(numbers), -1)
        for page, here in self._by_page(numbers):
            before[here] = page[numbers[here] % PAGE]
            page[numbers[here] % PAGE] = rows[here]  # of a number that stands twice the last
        order = np.argsort(numbers, kind="stable")
        again = np.flatnonzero(numbers[order[1:]] == numbers[order[:-1]])
        before[order[again + 1]] = rows[order[again]]
        return before

    def _by_page(self, numbers: Rows) -> Iterator[tuple[NDArray[np.int32], Bools]]:
        pages = numbers // PAGE
        for number in np.unique(pages).tolist():
            if (page := self._pages.get(number)) is None:
                page = self._pages[number] = np.full(PAGE, -1, np.int32)
            yield page, pages == number
