"""Expands interests: what is kept, the LLM, else who stands in for it. Knows nothing of HTTP, and never fails because the LLM does."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from expander.backends.cooccurrence import Cooccurrence
from expander.cache import ExpansionCache, Kept
from expander.entries import Entry, key_of
from expander.errors import ArtefactBroken, ArtefactMissing, LlmFailed, LlmLate
from expander.flights import Flights
from expander.grounding import Grounded, Grounder
from expander.interests import Asked
from expander.metrics import ExpanderMetrics
from expander.proposing import Proposer
from servicekit.deadline import Deadline

FALLBACK_MARGIN_S, FALLBACK_SHARE = 0.02, 0.05
"""Kept of each deadline for the fallback: the larger of the two, at most half of it."""

Mode = Literal["wait", "async", "off"]


@dataclass(frozen=True)
class Expansion:
    """An interest, its topics, and how they were made."""

    interest: str
    topics: tuple[str, ...]
    source: Literal["llm", "cooccurrence", "none"]
    model: str
    prompt_version: str | None = None
    cached: bool = False
    stale: bool = False
    pending: bool = False
    grounding: tuple[Grounded, ...] = ()
    fallback_reason: str | None = None


@dataclass(frozen=True)
class Patience:
    """How one request wants its answer: whether and until when the LLM is waited for, how many topics, and who is charged."""

    mode: Mode
    deadline: Deadline
    most: int
    caller: str = ""

    def with_margin(self) -> "Patience":
        """The same with an earlier deadline, which leaves the fallback its time."""
        remaining_s = self.deadline.remaining_s
        margin_s = min(max(FALLBACK_MARGIN_S, FALLBACK_SHARE * remaining_s), remaining_s / 2)
        return Patience(self.mode, self.deadline.earlier(margin_s), self.most, self.caller)


class Expander:
    """Answers from what is kept, else by the LLM where there is one and the request waits for it, else from the catalogue.

    A call of the LLM is shared by all who ask for the same at the same time. It belongs to none of them: when the last one has stopped
    waiting it runs on, so that its answer is there for the next.
    """

    def __init__(
        self,
        proposer: Proposer | None,
        catalogue: Cooccurrence,
        kept: ExpansionCache,
        flights: Flights,
        grounder: Grounder,
        metrics: ExpanderMetrics,
    ) -> None:
        self.proposer, self.catalogue = proposer, catalogue
        self._kept, self._flights, self._grounder, self._metrics = kept, flights, grounder, metrics
        self._cached = metrics.expansions.labels("llm", "cached")

    async def expand(self, interests: Sequence[Asked], patience: Patience) -> list[Expansion]:
        """One expansion per interest, in order; all at once."""
        at_once = [self._remembered(asked, patience) for asked in interests]
        if all(at_once):
            return [expansion for expansion in at_once if expansion]
        patience = patience.with_margin()
        rest = [self._expand(asked, patience) for asked, expansion in zip(interests, at_once, strict=True) if expansion is None]
        made = iter(await asyncio.gather(*rest))
        expansions = [expansion or next(made) for expansion in at_once]
        for expansion in expansions:
            self._metrics.empty.inc(not expansion.topics)
        return expansions

    async def erase(self, user_id: str) -> int:
        """Removes what is kept of a user's words, and keeps nothing of what is being made of them; how many entries went.

        Raises `StoreUnavailable`.
        """
        self._flights.erase(user_id)
        return await self._kept.erase(user_id)

    def _remembered(self, asked: Asked, patience: Patience) -> Expansion | None:
        """The answer where memory has a fresh one: most requests end here, without a task of their own."""
        if self.proposer is None:
            return None
        kept = self._kept.peek(key_of(asked, self.proposer.model, self.proposer.prompt_version))
        return self._from_kept(asked, kept, patience) if kept and kept.age == "fresh" else None

    async def _expand(self, asked: Asked, patience: Patience) -> Expansion:
        if self.proposer is None:
            return await self._from_catalogue(asked, patience, None)
        key = key_of(asked, self.proposer.model, self.proposer.prompt_version)
        kept = await self._kept.find(key)
        if kept is not None and kept.age == "negative":
            reason = f"the LLM gave nothing acceptable for this a moment ago ({kept.entry.cause})"
            return await self._from_catalogue(asked, patience, reason, outcome="negative")
        if kept is not None and (kept.age == "fresh" or patience.mode == "off"):
            return self._from_kept(asked, kept, patience)
        if patience.mode == "off":
            return await self._from_catalogue(asked, patience, None, outcome="off")
        if kept is not None and (shut := self.proposer.llm.shut()):
            return self._from_kept(asked, kept, patience, reason=str(shut))
        call = self._flights.start(key, partial(self.proposer.make, asked, caller=patience.caller), asked.user_id)
        if kept is not None:
            return self._from_kept(asked, kept, patience)
        if patience.mode == "wait":
            return await self._awaited(asked, call, patience)
        return await self._meanwhile(asked, call, patience)

    async def _awaited(self, asked: Asked, call: "asyncio.Task[Entry]", patience: Patience) -> Expansion:
        """The answer of `call` when it comes before the deadline, else the catalogue's."""
        waited_s = max(0.0, patience.deadline.remaining_s)
        await asyncio.wait({call}, timeout=waited_s)
        if not call.done():
            late = LlmLate(f"the LLM did not answer within {waited_s * 1_000:.0f} ms")
            return await self._from_catalogue(asked, patience, str(late), outcome=late.outcome, pending=True)
        if failure := _failure(call):
            return await self._from_catalogue(asked, patience, str(failure), outcome=failure.outcome)
        return self._proposed(asked, call.result(), patience)

    async def _meanwhile(self, asked: Asked, call: "asyncio.Task[Entry]", patience: Patience) -> Expansion:
        """The catalogue's answer while `call` goes on; its own where it is there by then, and the reason where it failed by then."""
        stand_in = await self._from_catalogue(asked, patience, None, outcome="pending", pending=True)
        if not call.done():
            return stand_in
        if failure := _failure(call):
            return replace(stand_in, pending=False, fallback_reason=str(failure))
        return self._of_llm(asked, call.result(), patience)

    def _proposed(self, asked: Asked, entry: Entry, patience: Patience) -> Expansion:
        self._metrics.expansions.labels("llm", "proposed").inc()
        return self._of_llm(asked, entry, patience)

    def _from_kept(self, asked: Asked, kept: Kept, patience: Patience, reason: str | None = None) -> Expansion:
        assert self.proposer is not None
        (self._cached if kept.age == "fresh" else self._metrics.expansions.labels("llm", "shut" if reason else "stale")).inc()
        self.proposer.llm.saved(kept.entry.tokens, kept.entry.completion_tokens)
        return self._of_llm(asked, kept.entry, patience, cached=True, stale=kept.age == "stale", reason=reason)

    def _of_llm(
        self, asked: Asked, entry: Entry, patience: Patience, *, cached: bool = False, stale: bool = False, reason: str | None = None
    ) -> Expansion:
        assert self.proposer is not None
        topics = entry.topics[: patience.most]
        return Expansion(
            asked.interest,
            topics,
            "llm",
            self.proposer.model,
            self.proposer.prompt_version,
            cached=cached,
            stale=stale,
            grounding=self._grounder.of(topics),
            fallback_reason=reason,
        )

    async def _from_catalogue(
        self, asked: Asked, patience: Patience, reason: str | None, *, outcome: str = "proposed", pending: bool = False
    ) -> Expansion:
        try:
            topics = await self.catalogue.propose(asked.words, patience.most, patience.deadline)
        except (ArtefactMissing, ArtefactBroken) as error:
            topics, outcome = (), "artefact" if outcome == "proposed" else outcome
            reason = f"{reason}; {error}" if reason else str(error)
        source: Literal["cooccurrence", "none"] = "cooccurrence" if topics else "none"
        self._metrics.expansions.labels(source, outcome).inc()
        return Expansion(
            asked.interest,
            topics,
            source,
            self.catalogue.model or "none",
            pending=pending,
            grounding=self._grounder.of(topics),
            fallback_reason=reason,
        )


def _failure(call: "asyncio.Task[Entry]") -> LlmFailed | None:
    """Why a call that is done has no entry; None when it has one. What is no failure of the LLM is raised."""
    if call.cancelled():
        return LlmLate("the call to the LLM was abandoned: this process is shutting down, or the user was erased")
    error = call.exception()
    if error is None or isinstance(error, LlmFailed):
        return error
    raise error
