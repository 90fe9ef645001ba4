"""What the gateway does for each route: the domain calls, what must be told of a change, and the counting. Knows nothing of HTTP."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from gateway import imports
from gateway.catalogue import Catalogue, Item, Relayed
from gateway.errors import ErasureIncomplete, ProfilesUnavailable, RetrieverUnavailable
from gateway.evidence import Asked
from gateway.imports import Outcome
from gateway.metrics import GatewayMetrics
from gateway.pipeline import Answer, Pipeline
from gateway.profiles import Event, Profiles
from servicekit import context
from servicekit.client import ServiceError
from servicekit.deadline import Deadline

LOOK_MS, READ_DEADLINE_MS = 1_000, 5_000
"""How long status and readiness wait for another service; how long a read of the catalogue or of its spaces may take."""


class Identified(Protocol):
    """A service that says what it is."""

    async def identity(self, deadline: Deadline) -> str: ...


class Expander(Identified, Protocol):
    """What of the expander is told or looked at."""

    async def erase(self, user_id: str, deadline: Deadline) -> int: ...


class Retriever(Protocol):
    """What of the retriever is passed through or looked at."""

    async def relay(
        self,
        method: str,
        path: str,
        deadline: Deadline,
        *,
        body: AsyncIterable[bytes] | None,
        headers: Mapping[str, str],
        query: Mapping[str, str] | None,
    ) -> Relayed: ...

    async def count(self, deadline: Deadline) -> int: ...

    async def check(self, deadline: Deadline) -> None: ...


@dataclass(frozen=True)
class Gateway:
    """Everything that was opened at start."""

    pipeline: Pipeline
    catalogue: Catalogue
    profiles: Profiles
    encoder: Identified
    expander: Expander
    retriever: Retriever
    metrics: GatewayMetrics

    async def recommend(self, asked: Asked, deadline_ms: float) -> Answer:
        """See `Pipeline.recommend`."""
        with context.stage("total"):
            answer = await self.pipeline.recommend(asked, deadline_ms)
        self.metrics.recommendations.labels(answer.rung).inc()
        self._count(answer)
        return answer

    async def similar(self, item_id: str, k: int, conditions: Mapping[str, Any], deadline_ms: float) -> tuple[Item, Answer]:
        """See `Pipeline.similar`."""
        with context.stage("total"):
            item, answer = await self.pipeline.similar(item_id, k, conditions, deadline_ms)
        self._count(answer)
        return item, answer

    def _count(self, answer: Answer) -> None:
        self.metrics.answered((one.stage for one in answer.degraded), context.stage_timings.get() or {})

    async def add_events(self, events: Sequence[Event]) -> int:
        """Stores all or none; how many were new."""
        new = await self.profiles.add(events)
        self.metrics.events_stored.inc(new)
        return new

    async def import_events(self, body: bytes, parse: Callable[[bytes], Event]) -> AsyncIterator[list[Outcome]]:
        """See `imports.events`."""
        async for outcomes, new in imports.events(body, parse, self.profiles):
            self.metrics.events_stored.inc(new)
            self._count_rows("event", outcomes)
            yield outcomes

    async def import_items(self, body: bytes, parse: Callable[[bytes], Item]) -> AsyncIterator[list[Outcome]]:
        """See `imports.items`."""
        async for outcomes in imports.items(body, parse, self.catalogue):
            self._count_rows("item", outcomes)
            for outcome in outcomes:
                self.pipeline.titles.forget(outcome.id or "")
            self.pipeline.popular.renew_soon()
            yield outcomes

    def _count_rows(self, kind: str, outcomes: Sequence[Outcome]) -> None:
        refused = sum(outcome.reason is not None for outcome in outcomes)
        self.metrics.import_rows.labels(kind, "refused").inc(refused)
        self.metrics.import_rows.labels(kind, "stored").inc(len(outcomes) - refused)

    async def put_item(self, item: Item) -> bool:
        """Adds or replaces the item; whether it was new. See `Catalogue.store`."""
        created = await self.catalogue.store([item])
        self.pipeline.titles.learn([(item.id, item.title)])
        self.pipeline.popular.renew_soon()
        return bool(created)

    async def delete_item(self, item_id: str) -> None:
        """See `Catalogue.delete`; every list the gateway holds forgets the item."""
        await self.catalogue.delete(item_id)
        self.pipeline.forget_item(item_id)

    async def erase(self, user_id: str) -> None:
        """Removes every trace of the user; raises `ErasureIncomplete` when the expander did not do its part, until asked again."""
        await self.profiles.erase(user_id)
        self.pipeline.remembered.forget(user_id)
        try:
            await self.expander.erase(user_id, Deadline.after_ms(READ_DEADLINE_MS))
        except ServiceError as error:
            raise ErasureIncomplete(
                f"The events of user {user_id!r} are erased, topics that were made from their words are not: {error}; try again."
            ) from error

    async def relay(
        self,
        method: str,
        path: str,
        *,
        body: AsyncIterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        bulk: bool = False,
    ) -> Relayed:
        """Passes a request through to the retriever; one for a whole space (`bulk`) gets the time of an import, others that of a read.

        Raises `RetrieverUnavailable`.
        """
        deadline = Deadline.after_ms(self.catalogue.deadline_s * 1_000 if bulk else READ_DEADLINE_MS)
        try:
            relayed = await self.retriever.relay(method, path, deadline, body=body, headers=headers or {}, query=query)
        except ServiceError as error:
            raise RetrieverUnavailable(f"The retriever did not answer: {error}; try again.") from error
        if method == "PUT":
            self.pipeline.popular.renew_soon()
        return relayed

    async def status(self) -> dict[str, Any]:
        """The fields of a `SystemStatus`; null for what does not answer."""
        deadline = Deadline.after_ms(LOOK_MS)
        items, expander, encoder, events = await asyncio.gather(
            _or_none(self.retriever.count(deadline)),
            _or_none(self.expander.identity(deadline)),
            _or_none(self.encoder.identity(deadline)),
            _or_none(self.profiles.total()),
        )
        ladder = self.pipeline.searcher.ladder.hash
        return {"items": items, "events": events, "expander": expander, "encoder": encoder, "ladder": ladder}

    async def check(self) -> None:
        """Returns when this process can do its work: events can be stored, and there is something to recommend from.

        A store that all gateways share is looked at, so that its outage is noticed, but does not count: every gateway would be unready
        at once, and no answer at all would come in place of one that says what is missing.
        """
        try:
            await self.profiles.check()
        except ProfilesUnavailable:
            if not self.profiles.shared:
                raise
        if not self.pipeline.popular:
            try:
                await self.retriever.check(Deadline.after_ms(LOOK_MS))
            except ServiceError as error:
                raise RetrieverUnavailable(f"no popular list is held and {error}") from error


async def _or_none(answer: Awaitable[Any]) -> Any:
    try:
        return await answer
    except (ServiceError, ProfilesUnavailable):
        return None
