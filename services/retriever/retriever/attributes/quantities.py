"""The numbers of one attribute and who has them, ordered by value. Knows nothing of words and truth values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from retriever.attributes.postings import Parts, Postings, packed, unpacked
from retriever.bitmaps import Numbers, of_numbers
from retriever.filters import Range
from retriever.items import Doubles

STEPS, SMALLEST_STEP = 64, 4_096


@dataclass(frozen=True)
class Quantities:
    """`postings` of the different `values`, ascending; `upto[s]` holds the items of the `s * step` smallest.

    So a range is a difference of two bitmaps, put right by at most half a step of items at either end.
    """

    values: Doubles
    postings: Postings
    step: int
    upto: Sequence[BitMap]

    @classmethod
    def of(cls, numbers: Doubles, rows: Numbers) -> Self:
        """From pairs of a number and the number of the item that has it."""
        values, codes = np.unique(numbers, return_inverse=True)
        postings = Postings.of(codes.astype(np.uint32), rows, len(values), complete=True)
        step = max(SMALLEST_STEP, -(-len(rows) // STEPS))
        upto = [BitMap()]
        for start in range(0, len(rows), step):
            upto.append(upto[-1] | of_numbers(postings.rows[start : start + step]))
        return cls(values, postings, step, upto)

    def any_of(self, numbers: Sequence[float]) -> BitMap:
        """The items that have one of `numbers`; must not be changed."""
        wanted = np.unique(np.array(numbers, np.float64))
        places = np.minimum(self.values.searchsorted(wanted), len(self.values) - 1)
        codes = places[self.values[places] == wanted]
        return self.postings.union(codes) if len(codes) else BitMap()

    def between(self, ends: Range) -> BitMap:
        """The items whose number lies in the range."""
        low = max(self._below(ends.gte, "left", 0), self._below(ends.gt, "right", 0))
        high = min(self._below(ends.lte, "right", len(self.values)), self._below(ends.lt, "left", len(self.values)))
        if low >= high:
            return BitMap()
        if high - low == 1:
            return self.postings.union(np.array([low]))
        first, last = int(self.postings.starts[low]), int(self.postings.starts[high])
        if last - first <= self.step:
            return of_numbers(self.postings.rows[first:last])
        return self._smallest(last) - self._smallest(first) if first else self._smallest(last)

    def _below(self, end: float | None, side: Literal["left", "right"], otherwise: int) -> int:
        """How many different values lie below `end`, with the side "right" those equal to it included."""
        return otherwise if end is None else int(self.values.searchsorted(end, side))

    def _smallest(self, count: int) -> BitMap:
        """The `count` items with the smallest numbers."""
        nearest = min(round(count / self.step), len(self.upto) - 1)
        known = min(nearest * self.step, len(self.postings.rows))
        if known <= count:
            return self.upto[nearest] | of_numbers(self.postings.rows[known:count]) if known < count else self.upto[nearest]
        return self.upto[nearest] - of_numbers(self.postings.rows[count:known])

    def parts(self) -> dict[str, NDArray[np.generic]]:
        """What to save."""
        return {"values": self.values, "step": np.array([self.step]), **self.postings.parts(), **packed("upto", list(self.upto))}

    @classmethod
    def open(cls, parts: Parts) -> Self:
        """From what was saved."""
        return cls(parts["values"], Postings.open(parts), int(parts["step"][0]), unpacked("upto", parts))  # type: ignore[arg-type]
