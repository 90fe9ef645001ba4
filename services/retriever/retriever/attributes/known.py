"""The rows of a log that one reader knows of. Knows nothing of the base, nor of rows that come later."""

from collections.abc import Callable

import numpy as np
from pyroaring import BitMap

from retriever.allowed import Allowed
from retriever.attributes.evaluation import Evaluation
from retriever.attributes.log import Log
from retriever.bitmaps import of_chosen
from retriever.filters import Condition, Expression
from retriever.items import Bools


class Known(Evaluation[Bools]):
    """The first `count` rows; one truth value for each, in the order of the log."""

    def __init__(self, log: Log, count: int) -> None:
        self._log, self._count = log, count
        self.everything = np.ones(count, np.bool_)
        self._rows = np.flatnonzero(log.latest(count))
        self._numbers = log.numbers.upto(count)[self._rows].astype(np.int64)

    def lookup(self, name: str, condition: Condition) -> Bools:
        """The rows that meet the condition."""
        return self._log.lookup(name, condition, self._count)

    def among(self, numbers: BitMap) -> Bools:
        """The rows of items with these numbers."""
        return Allowed(numbers).has(self._log.numbers.upto(self._count).astype(np.int64))

    def matching(self, wanted: Expression, numbers_of: Callable[[tuple[str, ...]], BitMap]) -> BitMap:
        """The items whose latest row meets `wanted`."""
        return of_chosen(self._numbers, self.evaluate(wanted, numbers_of)[self._rows])
