"""Refuses requests while as much waits as the model can embed in good time. Knows no HTTP and no model.

One rule for one input and for many: a request is let in while any of the limit is free, however long it is. So a long one is not refused
where short ones still pass, and what is held never passes the limit by more than one request.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from encoder.errors import Overloaded
from encoder.metrics import EncoderMetrics
from encoder.request import Priority

BYTES_PER_TOKEN = 4
"""Of UTF-8, about; what a text weighs until it is tokenised."""
SPECIAL_TOKENS = 2
BULK_LEAVES = 1 / 2
"""Share of the limit that bulk requests leave to online ones ..."""
BULK_KEEPS = 1 / 16
"""... and the share that they always have."""


@dataclass(eq=False)
class Permit:
    """What one request holds, in tokens."""

    priority: Priority
    texts: int
    tokens: int


class Admission:
    """Of `limit` tokens; `longest` is what a text is cut at."""

    def __init__(self, limit: int, longest: int, metrics: EncoderMetrics) -> None:
        self._limit, self._longest, self._metrics = limit, longest, metrics
        self._texts, self._tokens = 0, dict.fromkeys(Priority, 0)

    def refusal(self, priority: Priority = Priority.ONLINE, coming: int = 0) -> str | None:
        """Why one more request is refused, behind `coming` ones whose length is not known yet; None when it is not."""
        held, bulk = sum(self._tokens.values()) + coming, self._tokens[Priority.BULK]
        if held >= self._limit:
            return f"{self._texts} passages are being embedded or wait already, as many tokens as may; try again in a second."
        if priority is Priority.BULK and held >= self._limit * BULK_LEAVES and bulk >= self._limit * BULK_KEEPS:
            return f"{self._texts} passages are being embedded or wait already, which leaves no room for bulk ones; try again in a second."
        return None

    @contextmanager
    def admitted(self, texts: Sequence[str], priority: Priority) -> Iterator[Permit]:
        """Around all work for a request; raises `Overloaded` when there is too much already."""
        if (why := self.refusal(priority)) is not None:
            self._metrics.overloaded.inc()
            raise Overloaded(why)
        permit = Permit(priority, len(texts), sum(map(self._estimated, texts)))
        self._hold(priority, permit.texts, permit.tokens)
        try:
            yield permit
        finally:
            self._hold(priority, -permit.texts, -permit.tokens)

    def correct(self, permit: Permit, tokens: int) -> None:
        """The request turned out to be so many tokens to run."""
        self._hold(permit.priority, 0, tokens - permit.tokens)
        permit.tokens = tokens

    def _estimated(self, text: str) -> int:
        size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
        return min(self._longest, size // BYTES_PER_TOKEN + SPECIAL_TOKENS)

    def _hold(self, priority: Priority, texts: int, tokens: int) -> None:
        self._texts += texts
        self._tokens[priority] += tokens
        self._metrics.queued_texts.set(self._texts)
        self._metrics.queued_tokens_of(priority).set(self._tokens[priority])
