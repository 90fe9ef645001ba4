"""Expands interests: cache, LLM, then whoever can stand in for it. Knows nothing of HTTP, and never fails because the LLM does."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from expander import cache
from expander.backends import Backend
from expander.backends.cooccurrence import Cooccurrence
from expander.cache import ExpansionCache
from expander.errors import ArtefactBroken, ArtefactMissing, LlmFailed, LlmLate
from expander.metrics import ExpanderMetrics
from expander.prompts import PROMPT_VERSION
from expander.words import normalised
from servicekit.deadline import Deadline

FALLBACK_MARGIN_S = 0.02
"""Kept of each deadline for the fallback, at most half of it."""


@dataclass(frozen=True)
class Expansion:
    """An interest, its topics, and how they were made."""

    interest: str
    topics: tuple[str, ...]
    source: Literal["llm", "cooccurrence", "none"]
    model: str
    prompt_version: str | None = None
    cached: bool = False
    fallback_reason: str | None = None


class Expander:
    """Asks the LLM where there is one, else the catalogue; the catalogue also answers whenever the LLM does not.

    An LLM call is shared by all who ask for the same at the same time. It belongs to none of them: when the last one has stopped waiting
    it runs on, at most `timeout_s`, so that its answer is in the cache for the next.
    """

    def __init__(
        self,
        llm: Backend | None,
        catalogue: Cooccurrence,
        kept: ExpansionCache,
        metrics: ExpanderMetrics,
        *,
        timeout_s: float,
    ) -> None:
        self.llm, self.catalogue = llm, catalogue
        self._cache, self._metrics, self._timeout_s = kept, metrics, timeout_s
        self._calls: dict[str, asyncio.Task[tuple[str, ...]]] = {}

    async def expand(self, interests: Sequence[str], most: int, deadline: Deadline) -> list[Expansion]:
        """One expansion per interest, in order; all at once."""
        margin_s = min(FALLBACK_MARGIN_S, deadline.remaining_s / 2)
        expansions = await asyncio.gather(*(self._expand(interest, most, deadline.earlier(margin_s)) for interest in interests))
        for expansion in expansions:
            self._metrics.empty.inc(not expansion.topics)
        return expansions

    async def close(self) -> None:
        """Abandons the calls that still run."""
        calls = list(self._calls.values())
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)

    async def _expand(self, interest: str, most: int, deadline: Deadline) -> Expansion:
        if self.llm is None or self.llm.model is None:
            return await self._from_catalogue(interest, most, deadline, None)
        model = self.llm.model
        key = cache.key_of(normalised(interest), most, PROMPT_VERSION, model)
        kept = self._cache.get(key)
        if kept and self._cache.is_fresh(kept):
            self._metrics.cache_hits.labels("fresh").inc()
            self._metrics.expansions.labels("llm", "cached").inc()
            return Expansion(interest, kept.topics, "llm", model, PROMPT_VERSION, cached=True)
        try:
            topics = await self._shared(key, interest, most, deadline)
        except LlmFailed as error:
            if kept is None:
                return await self._from_catalogue(interest, most, deadline, error)
            self._metrics.cache_hits.labels("stale").inc()
            self._metrics.expansions.labels("llm", error.outcome).inc()
            return Expansion(interest, kept.topics, "llm", model, PROMPT_VERSION, cached=True, fallback_reason=str(error))
        self._metrics.expansions.labels("llm", "proposed").inc()
        return Expansion(interest, topics, "llm", model, PROMPT_VERSION)

    async def _shared(self, key: str, interest: str, most: int, deadline: Deadline) -> tuple[str, ...]:
        """The topics of the one running call for `key`, awaited until the deadline; raises `LlmFailed`."""
        call = self._calls.get(key)
        if call is None:
            call = self._calls[key] = asyncio.create_task(self._asked(key, interest, most))
            call.add_done_callback(lambda done: self._ended(key, done))
        waited_s = max(0.0, deadline.remaining_s)
        await asyncio.wait({call}, timeout=waited_s)
        if not call.done():
            raise LlmLate(f"the LLM did not answer within {waited_s * 1_000:.0f} ms")
        if call.cancelled():
            raise LlmLate("the call to the LLM was abandoned, this process is shutting down")
        return call.result()

    async def _asked(self, key: str, interest: str, most: int) -> tuple[str, ...]:
        assert self.llm is not None
        topics = await self.llm.propose(interest, most, Deadline.after_ms(self._timeout_s * 1_000))
        await self._cache.put(key, topics)
        return topics

    def _ended(self, key: str, call: asyncio.Task[tuple[str, ...]]) -> None:
        self._calls.pop(key, None)
        if not call.cancelled():
            call.exception()  # marks it as seen: nobody may be waiting any more

    async def _from_catalogue(self, interest: str, most: int, deadline: Deadline, failure: LlmFailed | None) -> Expansion:
        outcome = failure.outcome if failure else "proposed"
        reason = str(failure) if failure else None
        try:
            topics = await self.catalogue.propose(interest, most, deadline)
        except (ArtefactMissing, ArtefactBroken) as error:
            topics, outcome = (), outcome if failure else "artefact"
            reason = f"{reason}; {error}" if reason else str(error)
        source: Literal["cooccurrence", "none"] = "cooccurrence" if topics else "none"
        self._metrics.expansions.labels(source, outcome).inc()
        return Expansion(interest, topics, source, self.catalogue.model or "none", fallback_reason=reason)
