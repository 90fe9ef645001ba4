"""What one caller waits for. Knows nothing of queues and models."""

import asyncio
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from encoder.errors import EncoderError
from servicekit.deadline import Deadline

if TYPE_CHECKING:
    from encoder.waiting import Passage


class Priority(StrEnum):
    """Whose passages are run first."""

    ONLINE = "online"
    """Somebody waits for the answer."""
    BULK = "bulk"
    """A job that has time: it gets what online requests leave, and a sixteenth of the tokens when they leave nothing."""


@dataclass(eq=False)
class Request:
    """`rows` `(n, dim)` is the answer once none is missing. `take` and `fail` are called on the event loop."""

    rows: NDArray[np.float32]
    deadline: Deadline
    priority: Priority
    answer: asyncio.Future[NDArray[np.float32]]
    missing: int = field(init=False)
    tokens: int = 0
    """Of all its passages, as the model takes them."""
    passages: "list[Passage]" = field(default_factory=list)
    """Those that were queued for it."""
    over: bool = False
    """Nobody waits any more: answered, failed, too late or left."""
    enqueued: float | None = None
    begun: float | None = None
    """When its passages were queued and when the first of them was run, by `time.perf_counter`."""

    def __post_init__(self) -> None:
        self.missing = len(self.rows)

    def take(self, index: int, row: NDArray[np.float32]) -> None:
        self.rows[index] = row
        self.missing -= 1
        if not self.missing and not self.answer.done():
            self.answer.set_result(self.rows)

    def fail(self, error: EncoderError) -> None:
        self.over = True
        if not self.answer.done():
            self.answer.set_exception(error)

    def wanted(self, now: float) -> bool:
        """Whether it is worth working for, at an instant of `time.monotonic`."""
        return not self.over and now < self.deadline.at

    def waited(self, end: float) -> tuple[float, float]:
        """Seconds until its first passage was run, and seconds from then to `end`; nothing where nothing had to be run."""
        if self.enqueued is None:
            return 0.0, 0.0
        begun = end if self.begun is None else self.begun
        return begun - self.enqueued, end - begun
