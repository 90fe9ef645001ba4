"""The answers to the filters that were asked last. Knows nothing of what filters mean or how they are answered."""

from collections import OrderedDict
from threading import Lock

from retriever.allowed import Allowed
from retriever.filters import Expression

MOST = 16
"""Answers kept. One takes about 0.4 MB for each million items, in the forms that searches want of it."""
LONGEST = 2_000
"""Characters of a filter's notation; a longer one is seldom asked twice."""


def notation(wanted: Expression) -> str:
    """What tells filters apart: unlike the expressions themselves, which hold True, 1 and 1.0 to be the same."""
    return repr(wanted)


class Recent:
    """For one immutable value of attributes, so nothing here is ever out of date; for many threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._answers: OrderedDict[str, Allowed] = OrderedDict()

    def __len__(self) -> int:
        return len(self._answers)

    def get(self, notation: str) -> Allowed | None:
        """The answer to the filter, if it is still here."""
        with self._lock:
            if notation in self._answers:
                self._answers.move_to_end(notation)
            return self._answers.get(notation)

    def put(self, notation: str, answer: Allowed) -> None:
        """Keeps the answer, in the place of the one that was not asked for the longest."""
        if len(notation) > LONGEST:
            return
        with self._lock:
            self._answers[notation] = answer
            if len(self._answers) > MOST:
                self._answers.popitem(last=False)
