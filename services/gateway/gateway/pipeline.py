"""What happens on a request, read as a paragraph in `Pipeline.recommend`. Knows nothing of HTTP, of SQLite or of models.

No stage is waited for beyond its part of the deadline, and none may fail the request: each answers with a substitute from the table
in `degradation.py` instead, and the answer names it.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from gateway import degradation, topics
from gateway.candidates import Found
from gateway.catalogue import Item
from gateway.degradation import Degradation, Degradations
from gateway.embeddings import Embedded, Embeddings
from gateway.errors import ItemUnknown, NothingToAnswer, ProfilesUnavailable, RetrieverUnavailable
from gateway.evidence import Asked, Evidence, Taste, weigh
from gateway.patience import Patience, Shares
from gateway.popular import PopularList
from gateway.recommendations import Recommendation, shown
from gateway.remembered import Remembered, shape_of
from gateway.search import Searcher
from gateway.titles import Titles
from gateway.topics import Topics, UsedTopic
from servicekit.client import ServiceError
from servicekit.context import stage
from servicekit.deadline import Deadline


class Expander(Protocol):
    """Who proposes topics."""

    async def expand(self, asked: Asked, patience_ms: float, deadline: Deadline) -> Topics: ...


class Profiles(Protocol):
    """Who knows what users did."""

    async def taste(self, user_id: str) -> Taste: ...


class Items(Protocol):
    """Who holds the items."""

    async def item(self, item_id: str, deadline: Deadline) -> Item | None: ...


@dataclass(frozen=True, slots=True)
class Alike:
    """An item and what was found like it."""

    item: Item
    found: Found

    def without(self, item_id: str) -> "Alike | None":
        """The same without one item; None when it is all about that one."""
        return None if self.item.id == item_id else Alike(self.item, self.found.without(item_id))


@dataclass(frozen=True, slots=True)
class Answer:
    """Recommendations and everything that explains them."""

    items: tuple[Recommendation, ...]
    degraded: tuple[Degradation, ...]
    rung: int = 0
    topics: tuple[UsedTopic, ...] = ()
    topics_pending: bool = False
    unknown_items: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pipeline:
    """Makes recommendations from the three services, the stored events and the substitutes for each of them."""

    expander: Expander
    profiles: Profiles
    embeddings: Embeddings
    searcher: Searcher
    titles: Titles
    popular: PopularList
    items: Items
    remembered: Remembered[Found]
    alike: Remembered[Alike]
    shares: Shares
    liked_rating: float

    async def recommend(self, asked: Asked, deadline_ms: float) -> Answer:
        """Answers within `deadline_ms`; raises `RequestRefused`, or `NothingToAnswer` when no source and no substitute answered."""
        patience, degraded, erasures = self.shares.of(deadline_ms), Degradations(), self.remembered.erasures
        stored, proposed, interests = await asyncio.gather(
            self._stored(asked.user_id, patience, degraded),
            self._topics(asked, patience, degraded),
            self._embed(asked.interests, patience),
        )
        evidence = weigh(asked, stored, self.liked_rating)
        embedded = await self._embed_more(interests, topics.texts(proposed), patience, degraded)
        queries = topics.queries(asked.interests, proposed, embedded.known, self.searcher.ladder.interest_weight)
        plan = self.searcher.plan(asked, evidence, queries, embedded.fingerprint)
        shape = shape_of(asked.filter, asked.interests, asked.topics, evidence.liked, asked.k)
        try:
            found = await self.searcher.candidates(asked, evidence, plan, patience.retriever, degraded)
        except ServiceError as error:
            found = self._substitute(shape, asked, evidence, degraded, error)
        if not degraded:
            self.remembered.keep(shape, found, asked.user_id, erasures)
        self.titles.learn((one.id, one.title) for one in found.candidates)
        return Answer(
            shown(found, asked.k, frozenset(evidence.excluded), evidence.liked, self.titles.known(), of_user=True),
            tuple(degraded),
            evidence.without(found.unknown_liked).rung,
            topics.used(proposed, queries),
            proposed.pending,
            found.unknown_liked,
        )

    async def similar(self, item_id: str, k: int, conditions: Mapping[str, Any], deadline_ms: float) -> tuple[Item, Answer]:
        """The item, and what is liked together with it or close to its text.

        Raises `ItemUnknown`, `RequestRefused`, or `RetrieverUnavailable` when this was never asked before.
        """
        degraded, shape, deadline = Degradations(), shape_of(conditions, item_id, k), self.shares.of(deadline_ms).retriever
        try:
            if (item := await self.items.item(item_id, deadline)) is None:
                raise ItemUnknown(item_id)
            found = await self.searcher.similar(item_id, k, conditions, deadline)
        except ServiceError as error:
            if (remembered := self.alike.get(shape)) is None:
                raise RetrieverUnavailable(f"Similar items can not be found now: {error}; try again.") from error
            degraded.note(degradation.LAST_ANSWER, error)
            item, found = remembered.item, remembered.found
        else:
            self.alike.keep(shape, Alike(item, found), None, 0)
        self.titles.learn(((item.id, item.title), *((one.id, one.title) for one in found.candidates)))
        return item, Answer(shown(found, k, frozenset((item.id,)), (item.id,), self.titles.known(), of_user=False), tuple(degraded))

    def forget_item(self, item_id: str) -> None:
        """Drops an item that left the catalogue from every list that is held for outages."""
        self.titles.forget(item_id)
        self.popular.forget(item_id)
        self.remembered.revise(lambda found: found.without(item_id))
        self.alike.revise(lambda alike: alike.without(item_id))

    async def _stored(self, user_id: str | None, patience: Patience, degraded: Degradations) -> Taste:
        """What the stored events say of the user; nothing when there is no user, or the store fails."""
        if user_id is None:
            return Taste()
        try:
            with stage("profiles"):
                async with asyncio.timeout(max(0.0, patience.profiles.remaining_s)):
                    return await self.profiles.taste(user_id)
        except TimeoutError:
            degraded.note(degradation.STATELESS, "the store of events did not answer in time")
        except ProfilesUnavailable as error:
            degraded.note(degradation.STATELESS, error)
        return Taste()

    async def _topics(self, asked: Asked, patience: Patience, degraded: Degradations) -> Topics:
        """The caller's topics, or the expander's; none when it fails."""
        if asked.topics is not None:
            return topics.of_caller(asked.topics)
        if not asked.interests:
            return Topics(())
        try:
            with stage("expander"):
                proposed = await self.expander.expand(asked, patience.expander_ms, patience.expander)
        except ServiceError as error:
            degraded.note(degradation.BARE_INTEREST, error)
            return Topics(())
        if proposed.degraded:
            why = next((one.fallback_reason for one in proposed.expansions if one.fallback_reason), "the LLM did not answer")
            sources = {one.source for one in proposed.expansions if one.topics}
            by_source = degradation.CATALOGUE_TOPICS if "cooccurrence" in sources else degradation.CACHED_EXPANSION
            degraded.note(by_source if sources else degradation.BARE_INTEREST, why)
        return proposed

    async def _embed(self, texts: Sequence[str], patience: Patience) -> Embedded:
        if not texts:
            return Embedded({}, None)
        with stage("encoder"):
            return await self.embeddings.of(texts, patience.encoder)

    async def _embed_more(self, first: Embedded, texts: Sequence[str], patience: Patience, degraded: Degradations) -> Embedded:
        """The embeddings of the interests and of `texts`, all of one fingerprint."""
        more = await self._embed(texts, patience)
        known = {**first.known, **more.known}
        if more.fingerprint and first.fingerprint not in (None, more.fingerprint):  # the model changed between the two calls
            more = await self._embed((*first.known, *texts), patience)
            known = more.known
        if failure := first.failure or more.failure:
            degraded.note(degradation.CACHED_EMBEDDINGS if known else degradation.WITHOUT_CONTENT, failure)
        return Embedded(known, more.fingerprint or first.fingerprint)

    def _substitute(self, shape: str | None, asked: Asked, evidence: Evidence, degraded: Degradations, error: ServiceError) -> Found:
        """What answers without the retriever; raises `NothingToAnswer`."""
        if (remembered := self.remembered.get(shape)) is not None:
            degraded.note(degradation.LAST_ANSWER, error)
            return remembered
        if (listed := self.popular.best(asked.k, asked.filter, frozenset(evidence.excluded))) is not None:
            degraded.note(degradation.POPULAR_LIST, error)
            return listed
        raise NothingToAnswer(f"No source of recommendations answered, and no popular list is held yet: {error}; try again.") from error
