"""Puts the answers to single conditions together to the answer to an expression. Knows nothing of how conditions are looked up."""

from abc import abstractmethod
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

import numpy as np
from pyroaring import BitMap

from retriever.bitmaps import of_numbers
from retriever.filters import ID, And, AnyOf, Condition, Exists, Expression, NoneOf, Not, Or, Where
from retriever.items import Bools

NumbersOf = Callable[[tuple[str, ...]], Iterable[int]]
"""The numbers of the items with these ids; unknown ids are left out."""
Set = TypeVar("Set", BitMap, Bools)
"""A bitmap of item numbers, or one truth value per row of a log."""


class Evaluation(Generic[Set]):
    """Evaluates expressions over the items of `everything`; who inherits looks single conditions up."""

    everything: Set

    @abstractmethod
    def lookup(self, name: str, condition: Condition) -> Set:
        """The items that meet an `AnyOf`, `Range`, `Contains` or `Exists(True)` on the attribute `name`."""

    @abstractmethod
    def among(self, numbers: BitMap) -> Set:
        """The items that have one of these numbers."""

    def evaluate(self, wanted: Expression, numbers_of: Callable[[tuple[str, ...]], BitMap]) -> Set:
        """The items of `everything` that meet `wanted`; what is returned must not be changed."""
        match wanted:
            case And(parts):
                whole = self.everything
                for part in parts:
                    whole = whole & self.evaluate(part, numbers_of)
                return whole
            case Or(parts):
                whole = self.everything ^ self.everything
                for part in parts:
                    whole = whole | self.evaluate(part, numbers_of)
                return whole
            case Not(part):
                return self.everything ^ self.evaluate(part, numbers_of)
            case Where(name, NoneOf(values)):
                return self.everything ^ self.evaluate(Where(name, AnyOf(values)), numbers_of)
            case Where(name, Exists(False)):
                return self.everything ^ self.evaluate(Where(name, Exists()), numbers_of)
            case Where(name, condition):
                return self._of_id(condition, numbers_of) if name == ID else self.lookup(name, condition)

    def _of_id(self, condition: Condition, numbers_of: Callable[[tuple[str, ...]], BitMap]) -> Set:
        if isinstance(condition, Exists):
            return self.everything
        words = tuple(value for value in condition.values if isinstance(value, str)) if isinstance(condition, AnyOf) else ()
        return self.among(numbers_of(words) if words else BitMap())


def once(numbers_of: NumbersOf) -> Callable[[tuple[str, ...]], BitMap]:
    """Asks for the same ids only once, and gives the answer as a bitmap."""
    known: dict[tuple[str, ...], BitMap] = {}

    def ask(ids: tuple[str, ...]) -> BitMap:
        if ids not in known:
            known[ids] = of_numbers(np.fromiter(numbers_of(ids), np.int64))
        return known[ids]

    return ask
