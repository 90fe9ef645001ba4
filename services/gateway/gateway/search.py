"""Searches for candidates with the weights measured for the evidence. Knows nothing of how topics or embeddings were made."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from gateway import degradation
from gateway.candidates import Found, Query, Search
from gateway.degradation import Degradations
from gateway.embeddings import Embeddings
from gateway.errors import RequestRefused
from gateway.evidence import Asked, Evidence
from gateway.ladder import Ladder
from gateway.titles import Titles
from servicekit.client import Refused, ServiceError
from servicekit.context import stage
from servicekit.deadline import Deadline

SPARE = 10
"""Candidates asked for beyond k, so that a remembered result can lose some to new exclusions."""
ALIKE: Mapping[str, float] = {"similar": 1.0, "collaborative": 0.2}
"""For an item's page. The ladder says what a person will like next; what is like an item is another question, on which text leads."""
POPULAR: Mapping[str, float] = {"popular": 1.0}
"""What speaks when no other source can."""


class Retriever(Protocol):
    """Who finds candidates."""

    async def retrieve(self, search: Search, deadline: Deadline) -> Found: ...


@dataclass(frozen=True)
class Searcher:
    """Asks the retriever what the evidence calls for. `told` reads what a refusal says was wrong."""

    retriever: Retriever
    ladder: Ladder
    titles: Titles
    embeddings: Embeddings
    told: Callable[[Refused], str]

    def plan(self, asked: Asked, evidence: Evidence, queries: tuple[Query, ...], fingerprint: str | None) -> Search:
        """The search for this evidence: a source without anything to go by has no weight, and popular speaks when no other does."""
        silent = set() if queries else {"content"}
        silent |= set() if evidence.liked else {"similar"}
        silent |= set() if evidence.liked or queries else {"collaborative"}  # without liked items it goes by what is near the queries
        measured = self.ladder.weights(len(evidence.liked), evidence.interest)
        weights: Mapping[str, float] = {source: weight for source, weight in measured.items() if weight > 0 and source not in silent}
        return Search(weights or POPULAR, asked.k + SPARE, queries, evidence.liked, evidence.excluded, asked.filter, fingerprint)

    async def candidates(self, asked: Asked, evidence: Evidence, plan: Search, deadline: Deadline, degraded: Degradations) -> Found:
        """Candidates by `plan`; raises `ServiceError` or `RequestRefused`.

        When some liked items turn out to be unknown, and less evidence means other weights, it searches again with those.
        """
        with stage("retriever"):
            _, found = await asyncio.gather(self.titles.look_up(evidence.liked, deadline), self._ask(plan, deadline, degraded))
            again = self.plan(asked, evidence.without(found.unknown_liked), plan.queries, plan.fingerprint)
            if again.weights == plan.weights:
                return found
            try:
                return replace(await self._ask(again, deadline, degraded), unknown_liked=found.unknown_liked)
            except ServiceError as error:
                degraded.note(degradation.FIRST_SEARCH, error)
                return found

    async def similar(self, item_id: str, k: int, conditions: Mapping[str, Any], deadline: Deadline) -> Found:
        """Items liked together with this one or close to its text; raises `ServiceError` or `RequestRefused`."""
        search = Search(ALIKE, k + SPARE, liked=(item_id,), exclude=(item_id,), filter=conditions)
        with stage("retriever"):
            return await self._ask(search, deadline, Degradations())

    async def _ask(self, search: Search, deadline: Deadline, degraded: Degradations) -> Found:
        """Asks the retriever. A refusal may be due to the embeddings (another space), which is no fault of the caller: they are left
        out, and only what is refused even then, and has a filter, is refused to the caller."""
        try:
            found = await self.retriever.retrieve(search, deadline)
            if found.weights or search.weights == POPULAR:
                return found
            return await self._ask(replace(search, weights=POPULAR), deadline, degraded)
        except Refused as error:
            if error.status not in (400, 409, 422):
                raise
            refusal = error
        if search.queries:
            mute = {"content"} if search.liked else {"content", "collaborative"}
            weights = {source: weight for source, weight in search.weights.items() if source not in mute} or POPULAR
            found = await self._ask(replace(search, weights=weights, queries=(), fingerprint=None), deadline, degraded)
            self.embeddings.forget()
            degraded.note(degradation.WITHOUT_CONTENT, refusal)
            return found
        if search.filter:
            raise RequestRefused(self.told(refusal)) from refusal
        raise refusal
