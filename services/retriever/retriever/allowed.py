"""The items that a filter and the exclusions leave, in the form that each kind of search wants. Knows nothing of filters."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from pyroaring import BitMap

from retriever.bitmaps import Bits, bits_of, rows_of
from retriever.items import Bools, Rows

ASKED_ONE_BY_ONE = 256
"""Numbers that are sooner looked up each by itself than all are spread out for: what is dead changes with every write."""
FAR_APART = 64
"""Where numbers lie further apart on average, looking them up in a sorted list beats spreading them out as bits."""


@dataclass(frozen=True, eq=False)
class Allowed:
    """Immutable: `numbers` must not change any more. Every form is made once, when it is first asked for."""

    numbers: BitMap

    @cached_property
    def count(self) -> int:
        """How many items are allowed."""
        return len(self.numbers)

    def rows(self) -> Rows:
        """The allowed item numbers, ascending; read-only."""
        return self._rows

    def every(self, step: int, first: int) -> Rows:
        """Of the allowed item numbers, ascending, the one at the place `first` and each that lies a multiple of `step` after it."""
        return np.fromiter((self.numbers[place] for place in range(first, self.count, step)), np.int64)

    def bits(self) -> Bits:
        """Packed, lowest bit first: bit i says whether number i is allowed. Read-only; everything beyond its end is not allowed."""
        return self._bits

    def bools(self, count: int) -> Bools:
        """Whether each of the numbers 0 to `count` - 1 is allowed `(count,)`."""
        known = np.unpackbits(self._bits[: -(-count // 8)], bitorder="little", count=min(count, 8 * len(self._bits))).view(np.bool_)
        return known if len(known) == count else np.concatenate((known, np.zeros(count - len(known), np.bool_)))

    def has(self, numbers: Rows) -> Bools:
        """Whether each of `numbers` (any shape) is allowed; -1, which stands for no item, never is."""
        if not self.count:
            return np.zeros(numbers.shape, np.bool_)
        if numbers.size <= ASKED_ONE_BY_ONE and "_bits" not in vars(self):
            one_by_one = (number >= 0 and number in self.numbers for number in numbers.ravel().tolist())
            return np.fromiter(one_by_one, np.bool_, numbers.size).reshape(numbers.shape)
        if self.numbers.max() > FAR_APART * self.count:
            places = np.minimum(np.searchsorted(self._rows, numbers), self.count - 1)
            found: Bools = self._rows[places] == numbers
            return found
        inside = (numbers >= 0) & (numbers < 8 * len(self._bits))
        at = np.where(inside, numbers, 0)
        bit: Bools = ((self._bits[at >> 3] >> (at & 7).astype(np.uint8)) & 1).astype(np.bool_)
        return inside & bit

    @cached_property
    def _rows(self) -> Rows:
        made = rows_of(self.numbers)
        made.flags.writeable = False
        return made

    @cached_property
    def _bits(self) -> Bits:
        made = bits_of(self.numbers)
        made.flags.writeable = False
        return made
