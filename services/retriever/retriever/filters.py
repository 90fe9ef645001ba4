"""Turns a filter over attributes into a mask over rows. Knows nothing of vectors.

Words and truth values are looked up in inverted lists, numbers in one column per attribute. A number never equals a truth value.
"""

from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from retriever.items import AttributeValue, Bools, Doubles, Rows

Scalar = bool | int | float | str
ID = "id"
"""The name under which a filter means the item's id and no attribute."""


@dataclass(frozen=True)
class Range:
    """Numbers from `gte` to `lte`; None leaves an end open."""

    gte: float | None
    lte: float | None


@dataclass(frozen=True)
class AnyOf:
    """Equals, or its list contains, one of `values`."""

    values: tuple[Scalar, ...]


@dataclass(frozen=True)
class NoneOf:
    """Neither equals nor contains any of `values`; also holds where the attribute is missing."""

    values: tuple[Scalar, ...]


Condition = Range | AnyOf | NoneOf


class Columns:
    """The attributes of all rows. Append-only: one writer, and readers that pass the number of rows they know of."""

    def __init__(self) -> None:
        self._numbers: dict[str, array[float]] = {}
        self._words: dict[str, dict[str | bool, array[int]]] = {}

    def append(self, row: int, attributes: Mapping[str, AttributeValue]) -> None:
        """Notes the attributes of `row`, which must be beyond all rows before it."""
        for name, value in attributes.items():
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                column = self._numbers.setdefault(name, array("d"))
                column.extend([np.nan] * (row - len(column)))
                column.append(_number(value))
            else:
                lists = self._words.setdefault(name, {})
                for word in set(value) if isinstance(value, tuple) else (value,):
                    lists.setdefault(word, array("q")).append(row)

    def mask(self, name: str, condition: Condition, count: int) -> Bools:
        """Which of the first `count` rows meet `condition` `(count,)`."""
        if isinstance(condition, Range):
            column = self._column(name, count)
            low = -np.inf if condition.gte is None else condition.gte
            high = np.inf if condition.lte is None else condition.lte
            return (column >= low) & (column <= high)
        return ~self._any(name, condition.values, count) if isinstance(condition, NoneOf) else self._any(name, condition.values, count)

    def _any(self, name: str, values: tuple[Scalar, ...], count: int) -> Bools:
        numbers = [_number(value) for value in values if isinstance(value, (int, float)) and not isinstance(value, bool)]
        mask: Bools = np.isin(self._column(name, count), numbers) if numbers else np.zeros(count, np.bool_)
        lists = self._words.get(name, {})
        for value in values:
            if isinstance(value, (str, bool)) and value in lists:
                rows = self._rows(lists[value])
                mask[rows[rows < count]] = True
        return mask

    def _column(self, name: str, count: int) -> Doubles:
        column = np.full(count, np.nan)
        # tobytes, because a view into an array that grows meanwhile would make its append fail
        known = np.frombuffer(self._numbers.get(name, array("d")).tobytes(), np.float64)[:count]
        column[: len(known)] = known
        return column

    @staticmethod
    def _rows(listed: "array[int]") -> Rows:
        return np.frombuffer(listed.tobytes(), np.int64)


def rows_of(ids: Iterable[Scalar], row_of: Mapping[str, int]) -> Rows:
    """The rows of those `ids` that are known."""
    found = (row_of.get(name) for name in ids if isinstance(name, str))
    return np.fromiter((row for row in found if row is not None), np.int64)


def passing(conditions: Mapping[str, Condition], columns: Columns, row_of: Mapping[str, int], live: Bools) -> Bools:
    """Which live rows meet all `conditions`, as a new mask `(count,)`."""
    allowed = live.copy()
    for name, condition in conditions.items():
        allowed &= _ids(condition, row_of, len(live)) if name == ID else columns.mask(name, condition, len(live))
    return allowed


def _ids(condition: Condition, row_of: Mapping[str, int], count: int) -> Bools:
    mask = np.zeros(count, np.bool_)
    if not isinstance(condition, Range):
        mask[rows_of(condition.values, row_of)] = True
    return ~mask if isinstance(condition, NoneOf) else mask


def _number(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer beyond 1e308
        return np.inf if value > 0 else -np.inf
