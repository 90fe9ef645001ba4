"""How long answers take lately, so that none is asked for which could only be late. Knows nothing of queues.

In a queue that is served in order, under more load than the LLM takes, whoever gets its turn has spent most of its time waiting. Asked for
all the same, its answer would come too late, and the LLM would work for nobody.
"""

from expander.errors import LlmLate
from servicekit.deadline import Deadline

WEIGHT = 0.1
"""Of the latest answer, in the running mean of their times."""
SPARE = 1.5
"""Times the mean that a question must have left: some answers take longer."""
DOUBT = 0.95
"""What a mean is multiplied by each time that it turned a question away: one that is out of date corrects itself."""


class Pace:
    """The running mean of the seconds that answers take, per kind of question."""

    def __init__(self) -> None:
        self._mean_s: dict[str, float] = {}

    def took(self, kind: str, seconds: float) -> None:
        """An answer came."""
        mean_s = self._mean_s.setdefault(kind, seconds)
        self._mean_s[kind] = mean_s + WEIGHT * (seconds - mean_s)

    def check(self, kind: str, deadline: Deadline) -> None:
        """Raises `LlmLate` when the answer would most likely come after `deadline`."""
        needed_s, left_s = SPARE * self._mean_s.get(kind, 0.0), deadline.remaining_s
        if left_s < needed_s:
            self._mean_s[kind] *= DOUBT
            raise LlmLate(f"its turn at the LLM came {max(0.0, left_s) * 1_000:.0f} ms before its deadline; answers take longer")
