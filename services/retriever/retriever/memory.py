"""Vectors not sealed yet: an append-only flat segment with the number and version of each row. Knows nothing of files.

One writer appends behind what any reader knows of; a `Memory` is what one view may look at and never changes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np

from retriever.bitmaps import of_numbers
from retriever.items import Bools, Doubles, Floats, Rows
from retriever.plan import FlatPart
from retriever.segments.flat import FlatSegment
from retriever.spread import Moments, Tally


class Column:
    """An append-only array of int64; one writer, and readers that know how far they may look."""

    def __init__(self) -> None:
        self._buffer = np.empty(1_024, np.int64)

    def append(self, at: int, values: Rows) -> None:
        end = at + len(values)
        if end > len(self._buffer):
            grown = np.empty(max(2 * len(self._buffer), end), np.int64)
            grown[:at] = self._buffer[:at]
            self._buffer = grown
        self._buffer[at:end] = values

    def first(self, count: int) -> Rows:
        values: Rows = self._buffer[:count]
        return values


@dataclass(frozen=True, eq=False)
class Memory:
    """Rows `(known,)`, of which `alive` `(known,)` are the item's present vector. Versions ascend from `lo` on.

    `total` `(dim,)` float64 is the sum of the living vectors.
    """

    lo: int
    segment: FlatSegment
    _numbers: Column
    _versions: Column
    _tally: Tally
    known: int
    alive: Bools
    total: Doubles

    @classmethod
    def empty(cls, lo: int, dimension: int) -> Self:
        segment = FlatSegment()
        return cls(lo, segment, Column(), Column(), Tally(segment.take), 0, np.zeros(0, np.bool_), np.zeros(dimension))

    def __len__(self) -> int:
        """Rows, dead ones too."""
        return self.known

    @property
    def numbers(self) -> Rows:
        return self._numbers.first(self.known)

    @property
    def versions(self) -> Rows:
        return self._versions.first(self.known)

    @property
    def live(self) -> int:
        return int(np.count_nonzero(self.alive))

    def appended(self, numbers: Rows, versions: Rows, vectors: Floats) -> "Memory":
        """With these rows behind the present ones."""
        self.segment.append(self.known, vectors)
        self._numbers.append(self.known, numbers)
        self._versions.append(self.known, versions)
        alive = np.append(self.alive, np.ones(len(numbers), np.bool_))
        return replace(self, known=self.known + len(numbers), alive=alive, total=self.total + vectors.sum(axis=0, dtype=np.float64))

    def without(self, versions: Sequence[int]) -> "Memory":
        """With the rows of these versions, as far as they are here, dead."""
        places = np.searchsorted(self.versions, versions)
        inside = places < self.known
        places = places[inside]
        places = places[self.versions[places] == np.asarray(versions)[inside]]
        if not len(places):
            return self
        alive = self.alive.copy()
        alive[places] = False
        return replace(self, alive=alive, total=self.total - self.segment.take(places).sum(axis=0, dtype=np.float64))

    @cached_property
    def moments(self) -> Moments:
        """Of the living vectors."""
        return self._tally.of(of_numbers(np.flatnonzero(self.alive)))

    def locate(self, numbers: Rows) -> Rows:
        """The living row of each of `numbers`, or -1."""
        ordered, rows = self._by_number
        if not len(ordered):
            return np.full(len(numbers), -1, np.int64)
        places = np.minimum(np.searchsorted(ordered, numbers), len(ordered) - 1)
        found: Rows = np.where(ordered[places] == numbers, rows[places], -1)
        return found

    @cached_property
    def part(self) -> FlatPart:
        """For the planner."""
        return FlatPart(self.segment, self.numbers, of_numbers(np.flatnonzero(~self.alive)))

    def take(self, rows: Rows) -> Floats:
        return self.segment.take(rows)

    @cached_property
    def _by_number(self) -> tuple[Rows, Rows]:
        """The numbers of the living rows, ascending, and their rows."""
        rows = np.flatnonzero(self.alive)
        numbers = self.numbers[rows]
        order = np.argsort(numbers)
        return numbers[order], rows[order]
