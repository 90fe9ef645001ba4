"""The attributes of all items at one moment: a frozen base and the changes on top. Knows nothing of storage and vectors."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import NoReturn, Self

import numpy as np
from pyroaring import BitMap

from retriever.allowed import Allowed
from retriever.attributes.evaluation import NumbersOf, once
from retriever.attributes.frozen import Frozen
from retriever.attributes.known import Known
from retriever.attributes.log import Log
from retriever.attributes.recent import Recent, notation
from retriever.bitmaps import of_numbers
from retriever.filters import EVERYTHING, Expression
from retriever.items import AttributeValue


def _nobody(ids: tuple[str, ...]) -> NoReturn:
    raise LookupError(f"The filter asks for the id {ids[0]!r}, and nothing was given to look ids up; pass numbers_of.")


@dataclass(frozen=True, eq=False)
class Attributes:
    """Immutable. `put` and `remove` return the next value and share the log with it, so each value has one next value at most.

    `live` are the numbers of all items; it and every bitmap given out must not be changed.
    """

    live: BitMap
    frozen: Frozen
    log: Log
    changed_rows: int
    """Rows of the log this value knows of; when they are many, a new base is due."""
    changed: BitMap
    """The numbers in those rows, for which the base does not count any more."""
    _recent: Recent = field(default_factory=Recent, init=False)

    @classmethod
    def empty(cls) -> Self:
        """Of no items."""
        return cls.base(())

    @classmethod
    def base(cls, rows: Iterable[tuple[int, Mapping[str, AttributeValue]]]) -> Self:
        """Freezes item numbers, each with its attributes; raises ValueError when a number stands twice."""
        return cls._on(Frozen.of(rows))

    @classmethod
    def open(cls, path: Path) -> Self:
        """Maps the base that `save` wrote, whose hash the caller has checked; ValueError for another file."""
        return cls._on(Frozen.open(path))

    @classmethod
    def _on(cls, frozen: Frozen) -> Self:
        return cls(frozen.everything, frozen, Log(), 0, BitMap())

    def save(self, path: Path) -> None:
        """Writes a base in one file; raises ValueError when there are changes on top of it, which would be lost."""
        if self.changed_rows:
            raise ValueError(f"{self.changed_rows} changed rows can not be saved; build a base of all items and save that.")
        self.frozen.save(path)

    def put(self, numbers: Sequence[int], attributes: Sequence[Mapping[str, AttributeValue]]) -> Self:
        """With the attributes of these items, new or known, replaced; where a number stands twice, the last counts."""
        return self._next(numbers, attributes, self.live | of_numbers(np.array(numbers, np.uint32)))

    def remove(self, numbers: Sequence[int]) -> Self:
        """Without the items of these numbers; unknown ones do no harm."""
        return self._next(numbers, [None] * len(numbers), self.live - of_numbers(np.array(numbers, np.uint32)))

    def _next(self, numbers: Sequence[int], attributes: Sequence[Mapping[str, AttributeValue] | None], live: BitMap) -> Self:
        if not len(numbers):
            return self
        log = self.log if self.changed_rows == self.log.counted else self.log.part(0, self.changed_rows)
        rows = log.put(numbers, attributes)
        return replace(self, live=live, log=log, changed_rows=rows, changed=self.changed | of_numbers(np.array(numbers, np.uint32)))

    def rebased(self, base: "Attributes", since: int) -> "Attributes":
        """The same items on a new `base`, which must hold at least what this had at `changed_rows` == `since`; later rows are kept."""
        log = self.log.part(since, self.changed_rows)
        return Attributes(self.live, base.frozen, log, log.length, of_numbers(log.changed(log.length)))

    def matching(self, wanted: Expression, numbers_of: NumbersOf = _nobody) -> Allowed:
        """The items that meet `wanted`; `numbers_of` finds the numbers of item ids. The same object for a filter asked again lately.

        Raises LookupError when the expression asks for ids and `numbers_of` was not given.
        """
        if wanted == EVERYTHING:
            return Allowed(self.live)
        written = notation(wanted)
        if (known := self._recent.get(written)) is not None:
            return known
        looked_up: list[tuple[str, ...]] = []

        def looking_up(ids: tuple[str, ...]) -> Iterable[int]:
            looked_up.append(ids)
            return numbers_of(ids)

        answer = Allowed(self._matching(wanted, once(looking_up)))
        if not looked_up:  # the ids of items are not part of this value, so they may change
            self._recent.put(written, answer)
        return answer

    def _matching(self, wanted: Expression, numbers_of: Callable[[tuple[str, ...]], BitMap]) -> BitMap:
        found = self.frozen.evaluate(wanted, numbers_of)
        return (found - self.changed) | self._latest.matching(wanted, numbers_of) if self.changed_rows else found

    @cached_property
    def _latest(self) -> Known:
        return Known(self.log, self.changed_rows)
