"""How long answers take lately, so that none is asked for which could only be late. Knows nothing of queues.

In a queue that is served in order, under more load than the LLM takes, whoever gets its turn has spent most of its time waiting. Asked for
all the same, its answer would come too late, and the LLM would work for nobody.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from expander.errors import LlmLate
from servicekit.deadline import Deadline

WEIGHT = 0.2
"""Of the latest answer, in the running mean of their times."""
SPARE = 1.5
"""Times the mean that a question must have left: some answers take longer."""
CONFIRMED = 10.0
"""Times its own length after which a mean that no answer has confirmed is forgotten, so that one that is wrong can not last."""


@dataclass
class Mean:
    """A running mean, and when it last changed (seconds of the clock)."""

    seconds: float
    at: float


class Pace:
    """The running mean of the seconds that answers take, per kind of question. `clock` gives seconds and never goes back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._means: dict[str, Mean] = {}

    def took(self, kind: str, seconds: float) -> None:
        """An answer came."""
        mean = self._means.setdefault(kind, Mean(seconds, self._clock()))
        mean.seconds += WEIGHT * (seconds - mean.seconds)
        mean.at = self._clock()

    def check(self, kind: str, deadline: Deadline) -> None:
        """Raises `LlmLate` when the answer would most likely come after `deadline`."""
        if (mean := self._means.get(kind)) is None:
            return
        if self._clock() - mean.at > CONFIRMED * mean.seconds:
            del self._means[kind]
        elif (left_s := deadline.remaining_s) < SPARE * mean.seconds:
            raise LlmLate(f"its turn at the LLM came {max(0.0, left_s) * 1_000:.0f} ms before its deadline; answers take longer")
