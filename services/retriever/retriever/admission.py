"""Decides when one more search would wait too long. Knows nothing of what a search is.

A short queue keeps all threads busy through the gaps between random arrivals. While most callers are refused there are no gaps, and a queue
only adds to what the served ones wait (a standing queue; Nichols and Jacobson, "Controlling Queue Delay", 2012): then it is shorter.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from retriever.errors import Overloaded

EACH, EACH_WHEN_PRESSED = 4, 3
"""Searches a thread that are admitted at once, the one that it works on included."""
PRESSED = 0.5
"""Share of refused callers from which on the queue is the shorter one."""
REMEMBERED = 256
"""Callers that the share is about, the latest count most."""


class Admission:
    """For `threads` that search."""

    def __init__(self, threads: int) -> None:
        self._threads, self._admitted, self._refused = threads, 0, 0.0

    def too_many(self, coming: int = 0) -> str | None:
        """Why one more is refused, behind those that are `coming`; None when it is not. To be asked once for each caller."""
        refused = self._admitted + coming >= self._threads * (EACH_WHEN_PRESSED if self._refused > PRESSED else EACH)
        self._refused += (refused - self._refused) / REMEMBERED
        return self._told(coming) if refused else None

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Around one; raises Overloaded when there are more than ever should be."""
        if self._admitted >= self._threads * EACH:
            raise Overloaded(self._told(0))
        self._admitted += 1
        try:
            yield
        finally:
            self._admitted -= 1

    def _told(self, coming: int) -> str:
        return f"{self._admitted + coming} searches are being worked on or wait already; try again in a second."
