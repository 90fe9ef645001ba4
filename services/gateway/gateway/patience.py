"""Divides a request's deadline between its stages. Knows nothing of what the stages do."""

from dataclasses import dataclass

from servicekit.deadline import Deadline

MARGIN_MS, MARGIN_SHARE = 20.0, 0.15
"""Left of the deadline for writing the answer: the smaller of the two."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long each stage of one request is waited for."""

    profiles: Deadline
    expander: Deadline
    encoder: Deadline
    retriever: Deadline
    expander_ms: float
    """After this the expander's own fallback has to answer: 80 % of its part, the rest is for the way back."""


@dataclass(frozen=True)
class Shares:
    """The fractions of a deadline after which a stage is no longer waited for."""

    expander: float
    encoder: float

    def of(self, deadline_ms: float) -> Patience:
        """The instants for a request that begins now and may take `deadline_ms`."""
        early = Deadline.after_ms(deadline_ms * self.expander)
        last = Deadline.after_ms(deadline_ms - min(MARGIN_MS, MARGIN_SHARE * deadline_ms))
        return Patience(early, early, Deadline.after_ms(deadline_ms * self.encoder), last, 0.8 * self.expander * deadline_ms)
