"""The changes since a base was frozen, as columns that only grow. Knows nothing of the base.

One writer appends; readers say how many rows they know of. What is written in a row never changes but for `ended`, and a buffer that is
too short is replaced by a longer copy, so that a reader who still holds the old one sees the same rows.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from retriever.attributes.places import Places
from retriever.bitmaps import Numbers
from retriever.filters import AnyOf, Condition, Contains, Range, float_of, is_number
from retriever.items import AttributeValue, Bools, Doubles

Kind = TypeVar("Kind", bound=np.generic)
MISSING, WORD, LIST, NUMBER, FALSE, TRUE = range(6)
NEVER, FAILED, REMOVED = np.iinfo(np.int64).max, 0, -1
"""In `ended`, instead of the row that replaced this one: nothing did; it was never finished; it says that the item is gone."""


class Growing(Generic[Kind]):
    """A buffer with places to spare, filled with `fill`."""

    def __init__(self, dtype: type[Kind], fill: float) -> None:
        self._fill, self.buffer = fill, np.full(64, fill, dtype)

    def put(self, places: Sequence[int], values: Sequence[float] | float) -> None:
        """Writes `places`, which ascend."""
        if not places:
            return
        first, end = places[0], places[-1] + 1
        if end > len(self.buffer):
            longer = np.full(max(2 * len(self.buffer), end), self._fill, self.buffer.dtype)
            longer[: len(self.buffer)] = self.buffer
            self.buffer = longer
        self.buffer[slice(first, end) if end - first == len(places) else places] = values

    def upto(self, count: int) -> NDArray[Kind]:
        """The first `count` places."""
        if len(buffer := self.buffer) >= count:
            return buffer[:count]
        return np.concatenate((buffer, np.full(count - len(buffer), self._fill, buffer.dtype)))


class LogColumn:
    """One attribute: per row its kind, its number and the code of its value; for lists pairs of a row and a word's code, rows ascending."""

    def __init__(self) -> None:
        self.kinds: Growing[np.uint8] = Growing(np.uint8, MISSING)
        self.numbers: Growing[np.float64] = Growing(np.float64, np.nan)
        self.scalars: Growing[np.int32] = Growing(np.int32, -1)
        self.codes: dict[str | float, int] = {}
        self.pairs = 0
        self.pair_rows: Growing[np.int64] = Growing(np.int64, NEVER)
        self.pair_codes: Growing[np.int32] = Growing(np.int32, 0)

    def put(self, rows: Sequence[int], values: Sequence[AttributeValue]) -> None:
        """Notes the values of rows that ascend and lie beyond all before them."""
        types = set(map(type, values))
        for one in types:
            if len(types) == 1:
                self._put_alike(one, rows, values)
            else:
                places = [place for place, value in enumerate(values) if type(value) is one]
                self._put_alike(one, [rows[place] for place in places], [values[place] for place in places])

    def _put_alike(self, type_: type, rows: Sequence[int], values: Sequence[Any]) -> None:
        if issubclass(type_, (tuple, list)):
            self._put_pairs([(row, self._code(word)) for row, words in zip(rows, values, strict=True) for word in dict.fromkeys(words)])
            self.kinds.put(rows, LIST)
        elif issubclass(type_, bool):
            self.kinds.put(rows, [TRUE if value else FALSE for value in values])
        elif issubclass(type_, str):
            self.scalars.put(rows, [self._code(value) for value in values])
            self.kinds.put(rows, WORD)
        else:
            numbers = [float_of(value) for value in values]
            self.numbers.put(rows, numbers)
            self.scalars.put(rows, [self._code(number) for number in numbers])
            self.kinds.put(rows, NUMBER)

    def _put_pairs(self, pairs: Sequence[tuple[int, int]]) -> None:
        places = range(self.pairs, self.pairs + len(pairs))
        self.pair_codes.put(places, [code for _, code in pairs])
        self.pair_rows.put(places, [row for row, _ in pairs])
        self.pairs += len(pairs)

    def _code(self, value: str | float) -> int:
        return self.codes.setdefault(value, len(self.codes))

    def lookup(self, condition: Condition, count: int) -> Bools:
        """Which of the first `count` rows meet an `AnyOf`, `Range`, `Contains` or `Exists(True)`."""
        match condition:
            case AnyOf(values):
                return self._any_of(values, count)
            case Range():
                return _between(self.numbers.upto(count), condition)
            case Contains(word):
                return self._listed([code] if (code := self.codes.get(word)) is not None else [], count)
            case _:
                present: Bools = self.kinds.upto(count) != MISSING
                return present

    def _any_of(self, values: Sequence[bool | int | float | str], count: int) -> Bools:
        truths = {value for value in values if isinstance(value, bool)}
        asked = (float_of(value) if is_number(value) else value for value in values if not isinstance(value, bool))
        codes = [code for value in asked if (code := self.codes.get(value)) is not None]
        found = self._listed(codes, count)
        if len(codes) == 1:
            found |= self.scalars.upto(count) == codes[0]
        elif codes:
            found |= self._wanted(codes)[self.scalars.upto(count)]
        for truth in truths:
            found |= self.kinds.upto(count) == (TRUE if truth else FALSE)
        return found

    def _listed(self, codes: Sequence[int], count: int) -> Bools:
        """Which rows hold a list with one of these words."""
        found, rows = np.zeros(count, np.bool_), self.pair_rows.buffer
        if codes and (known := int(rows.searchsorted(count))):
            has = self._wanted(codes)[self.pair_codes.upto(known)]
            found[rows[:known][has]] = True
        return found

    def _wanted(self, codes: Sequence[int]) -> Bools:
        """Whether each code is among `codes`; the last place, which is also that of -1, belongs to none."""
        wanted = np.zeros(len(self.codes) + 1, np.bool_)
        wanted[codes] = True
        return wanted

    def part(self, first: int, count: int) -> "LogColumn":
        """A copy of the rows from `first` up to `count`, counted anew from 0."""
        copy, rows = LogColumn(), self.pair_rows.buffer
        low, high = rows.searchsorted([first, count]).tolist()
        for name in ("kinds", "numbers", "scalars"):
            getattr(copy, name).buffer = getattr(self, name).upto(count)[first:].copy()
        copy.pair_rows.buffer, copy.pair_codes.buffer = rows[low:high] - first, self.pair_codes.upto(high)[low:].copy()
        copy.codes, copy.pairs = dict(self.codes), high - low
        return copy


def _by_name(
    rows: Sequence[int], attributes: Sequence[Mapping[str, AttributeValue] | None]
) -> dict[str, tuple[list[int], list[AttributeValue]]]:
    found: dict[str, tuple[list[int], list[AttributeValue]]] = {}
    for row, values in zip(rows, attributes, strict=True):
        for name, value in (values or {}).items():
            if (column := found.get(name)) is None:
                column = found[name] = ([], [])
            column[0].append(row)
            column[1].append(value)
    return found


def _between(numbers: Doubles, ends: Range) -> Bools:
    inside = ~np.isnan(numbers)
    for end, meets in ((ends.gte, np.greater_equal), (ends.gt, np.greater), (ends.lte, np.less_equal), (ends.lt, np.less)):
        if end is not None:
            inside &= meets(numbers, end)
    return inside


class Log:
    """Rows of changed items: their numbers, the row in which each one ended, and their attributes."""

    def __init__(self) -> None:
        self.length = self.counted = 0
        """Rows written, and those that the newest value knows of; they differ after a failure."""
        self.numbers: Growing[np.uint32] = Growing(np.uint32, 0)
        self.ended: Growing[np.int64] = Growing(np.int64, FAILED)
        self.columns: dict[str, LogColumn] = {}
        self._places = Places()

    def put(self, numbers: Sequence[int], attributes: Sequence[Mapping[str, AttributeValue] | None]) -> int:
        """Appends a row per item, None for one that is gone, and returns how many rows there are then.

        Rows whose writing fails stay, and count for nobody.
        """
        first = self.length
        self.length += len(numbers)
        rows = range(first, self.length)
        self.numbers.put(rows, numbers)
        self.ended.put(rows, FAILED)
        for name, (places, values) in _by_name(rows, attributes).items():
            if name not in self.columns:
                self.columns[name] = LogColumn()
            self.columns[name].put(places, values)
        self._finish(rows, numbers, [REMOVED if values is None else NEVER for values in attributes])
        self.counted = self.length
        return self.length

    def _finish(self, rows: Sequence[int], numbers: Sequence[int], ended: Sequence[int]) -> None:
        self.ended.put(rows, ended)
        now = np.asarray(rows, np.int64)
        before = self._places.replace(np.asarray(numbers, np.int64), now)
        replaced = (before >= 0) & (self.ended.buffer[before] != REMOVED)
        self.ended.buffer[before[replaced]] = now[replaced]

    def part(self, first: int, count: int) -> "Log":
        """A copy of the rows from `first` up to `count`, as they were when there were no others."""
        copy = Log()
        copy.columns = {name: column.part(first, count) for name, column in list(self.columns.items())}
        ended, numbers = self.ended.upto(count)[first:], self.numbers.upto(count)[first:]
        copy.numbers.put(range(len(numbers)), numbers.tolist())
        whole = np.flatnonzero(ended != FAILED)
        copy.ended.put(range(len(numbers)), FAILED)
        then = np.where(ended[whole] == REMOVED, REMOVED, NEVER)
        copy._finish(whole.tolist(), numbers[whole].tolist(), then.tolist())
        copy.length = copy.counted = count - first
        return copy

    def lookup(self, name: str, condition: Condition, count: int) -> Bools:
        """Which of the first `count` rows meet the condition, whether they still count or not."""
        column = self.columns.get(name)
        return column.lookup(condition, count) if column else np.zeros(count, np.bool_)

    def latest(self, count: int) -> Bools:
        """Which of the first `count` rows no later one of them replaced or removed."""
        still: Bools = self.ended.upto(count) >= count
        return still

    def changed(self, count: int) -> Numbers:
        """The numbers of the items that the first `count` rows change, as often as they do."""
        written: Numbers = self.numbers.upto(count)[self.ended.upto(count) != FAILED]
        return written
