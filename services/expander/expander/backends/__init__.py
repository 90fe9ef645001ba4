"""What proposes topics, behind one protocol. Knows nothing of caches and fallbacks."""

from typing import Protocol

from servicekit.deadline import Deadline


class Backend(Protocol):
    """Proposes topics for interests."""

    name: str

    @property
    def model(self) -> str | None:
        """What an expansion names as its model; None while there is none."""
        ...

    async def propose(self, interest: str, most: int, deadline: Deadline) -> tuple[str, ...]:
        """At most `most` topics, best first; () when nothing is known of the interest. Raises `ExpanderError`."""
        ...
