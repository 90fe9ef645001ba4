"""A deadline: the instant after which an answer is useless. Knows nothing of what is awaited."""

import time
from dataclasses import dataclass
from typing import Self

HEADER = "x-deadline-ms"
"""Request header: how many milliseconds the caller will still wait."""


@dataclass(frozen=True)
class Deadline:
    """An instant on the monotonic clock, in seconds."""

    at: float

    @classmethod
    def after_ms(cls, milliseconds: float) -> Self:
        return cls(time.monotonic() + milliseconds / 1_000)

    @property
    def remaining_s(self) -> float:
        """Seconds left; negative once it has passed."""
        return self.at - time.monotonic()

    @property
    def expired(self) -> bool:
        return self.remaining_s <= 0

    def earlier(self, seconds: float) -> Self:
        """The deadline moved `seconds` towards now, to leave time for what comes after."""
        return type(self)(self.at - seconds)
