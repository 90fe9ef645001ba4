"""Expands interests ahead of traffic, as many at once as the LLM takes. Knows nothing of who will ask for them."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from expander.cache import ExpansionCache
from expander.entries import key_of
from expander.errors import LlmBusy, LlmFailed, LlmNotConfigured, LlmOverBudget, LlmShut
from expander.flights import Flights
from expander.interests import Asked
from expander.proposing import Proposer
from servicekit.deadline import Deadline

PASSING = (LlmBusy, LlmOverBudget, LlmShut)
"""Refusals before anything was asked: the interest is as good as never looked at."""


@dataclass(frozen=True)
class Precomputed:
    """What became of one interest; see the wire type of this name."""

    interest: str
    status: Literal["kept", "made", "failed", "pending"]
    reason: str | None = None


class Precomputer:
    """Fills the cache; `at_once` calls run at a time, in the lane for bulk."""

    def __init__(self, proposer: Proposer | None, kept: ExpansionCache, flights: Flights, at_once: int) -> None:
        self._proposer, self._kept, self._flights, self._at_once = proposer, kept, flights, at_once

    async def run(self, interests: Sequence[Asked], deadline: Deadline, caller: str = "") -> list[Precomputed]:
        """One result per interest, in order, by the deadline; raises `LlmNotConfigured`."""
        if self._proposer is None:
            raise LlmNotConfigured("Nothing can be expanded ahead: there is no LLM here. Set EXPANDER_LLM_URL.")
        results = [Precomputed(asked.interest, "pending", "no time was left; ask again") for asked in interests]
        rest = iter(enumerate(interests))
        await asyncio.gather(*(self._work(self._proposer, rest, results, deadline, caller) for _ in range(self._at_once)))
        return results

    async def _work(
        self, proposer: Proposer, rest: Iterator[tuple[int, Asked]], results: list[Precomputed], deadline: Deadline, caller: str
    ) -> None:
        for at, asked in rest:
            if deadline.expired:
                return
            results[at] = await self._one(proposer, asked, deadline, caller)

    async def _one(self, proposer: Proposer, asked: Asked, deadline: Deadline, caller: str) -> Precomputed:
        key = key_of(asked, proposer.model, proposer.prompt_version)
        kept = await self._kept.find(key)
        if kept is not None and kept.age == "fresh":
            return Precomputed(asked.interest, "kept")
        if kept is not None and kept.age == "negative":
            return Precomputed(asked.interest, "failed", f"the LLM gave nothing acceptable for this a moment ago ({kept.entry.cause})")
        call = self._flights.start(key, partial(proposer.make, asked, caller=caller, bulk=True), None)
        await asyncio.wait({call}, timeout=max(0.0, deadline.remaining_s))
        if not call.done() or call.cancelled():
            return Precomputed(asked.interest, "pending", "the LLM had not answered when the time was over; ask again")
        failure = call.exception()
        if failure is None:
            return Precomputed(asked.interest, "made")
        if not isinstance(failure, LlmFailed):
            raise failure
        return Precomputed(asked.interest, "pending" if isinstance(failure, PASSING) else "failed", str(failure))
