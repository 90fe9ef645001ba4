"""One attribute of all items of a frozen base. Knows nothing of other attributes and of files."""

from array import array
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from retriever.attributes.postings import Parts, packed, unpacked
from retriever.attributes.quantities import Quantities
from retriever.attributes.words import Words
from retriever.bitmaps import of_numbers
from retriever.filters import AnyOf, Condition, Contains, Range, float_of, is_number
from retriever.items import AttributeValue


@dataclass(frozen=True)
class Column:
    """Who has the attribute, who has a list there, true or false, words and numbers; bitmaps that are given out must not be changed."""

    present: BitMap
    lists: BitMap
    false: BitMap
    true: BitMap
    words: Words | None
    quantities: Quantities | None

    def lookup(self, condition: Condition) -> BitMap:
        """The items that meet an `AnyOf`, `Range`, `Contains` or `Exists(True)`."""
        match condition:
            case AnyOf(values):
                return self._any_of(values)
            case Range():
                return self.quantities.between(condition) if self.quantities else BitMap()
            case Contains(word):
                found = self.words.any_of((word,)) if self.words else BitMap()
                return found if self.lists == self.present else found & self.lists
            case _:
                return self.present

    def _any_of(self, values: tuple[bool | int | float | str, ...]) -> BitMap:
        words = [value for value in values if isinstance(value, str)]
        numbers = [float_of(value) for value in values if is_number(value)]
        found = [self.true] * (True in (value for value in values if isinstance(value, bool)))
        found += [self.false] * (False in (value for value in values if isinstance(value, bool)))
        if words and self.words:
            found.append(self.words.any_of(words))
        if numbers and self.quantities:
            found.append(self.quantities.any_of(numbers))
        return found[0] if len(found) == 1 else BitMap.union(*found) if found else BitMap()

    def parts(self) -> dict[str, NDArray[np.generic]]:
        """What to save."""
        parts = packed("sets", [self.present, self.lists, self.false, self.true])
        for name, index in (("words", self.words), ("quantities", self.quantities)):
            parts |= {f"{name}/{part}": value for part, value in index.parts().items()} if index else {}
        return parts

    @classmethod
    def open(cls, parts: Parts) -> Self:
        """From what was saved."""

        def of(index: str) -> dict[str, NDArray[np.generic]]:
            return {name.removeprefix(f"{index}/"): part for name, part in parts.items() if name.startswith(f"{index}/")}

        words, quantities = of("words"), of("quantities")
        present, lists, false, true = unpacked("sets", parts)
        return cls(present, lists, false, true, Words.open(words) if words else None, Quantities.open(quantities) if quantities else None)


class Gathered:
    """Collects one attribute of many items for a `Column`, without an object per item."""

    def __init__(self) -> None:
        self.codes: dict[str, int] = {}
        self.word_rows, self.word_codes = array("I"), array("I")
        self.number_rows, self.numbers = array("I"), array("d")
        self.lists, self.false, self.true = array("I"), array("I"), array("I")

    def add(self, number: int, value: AttributeValue) -> None:
        """Notes `value` for the item of this number."""
        if isinstance(value, str):
            self._add_word(number, value)
        elif isinstance(value, tuple | list):
            self.lists.append(number)
            for word in dict.fromkeys(value):
                self._add_word(number, word)
        elif isinstance(value, bool):
            (self.true if value else self.false).append(number)
        else:
            self.number_rows.append(number)
            self.numbers.append(float_of(value))

    def _add_word(self, number: int, word: str) -> None:
        self.word_rows.append(number)
        self.word_codes.append(self.codes.setdefault(word, len(self.codes)))

    def column(self) -> Column:
        """What was gathered, indexed."""
        lists, false, true = (of_numbers(_numbers(rows)) for rows in (self.lists, self.false, self.true))
        word_rows, number_rows = _numbers(self.word_rows), _numbers(self.number_rows)
        present = BitMap.union(lists, false, true, of_numbers(word_rows), of_numbers(number_rows))
        numbers = np.frombuffer(self.numbers, np.float64)
        known = ~np.isnan(numbers)
        words = Words.of(list(self.codes), _numbers(self.word_codes), word_rows) if self.codes else None
        quantities = Quantities.of(numbers[known], number_rows[known]) if known.any() else None
        for bitmap in (present, lists):
            bitmap.run_optimize()
        return Column(present, lists, false, true, words, quantities)


def _numbers(rows: "array[int]") -> NDArray[np.uint32]:
    return np.frombuffer(rows, np.uint32)
