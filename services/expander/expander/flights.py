"""Lets one call at a time make an expansion, for all who ask for it here and in other replicas. Knows nothing of what a call does."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from expander.cache import ExpansionCache
from expander.entries import Entry, Store
from expander.errors import ExpanderError, LlmInvalid
from servicekit import logs

LOG = logs.get(__name__)

LEASE_S, RENEW_S = 4.0, 1.0
"""How long another replica waits for one that died, and how often one that lives says so."""
LONGEST_S = 600.0
"""After which a call is waited for no longer: far beyond the longest that an LLM may be given."""
POLL_S, SLOWEST_POLL_S = 0.02, 0.1

Make = Callable[[], Awaitable[Entry]]


@dataclass(frozen=True)
class _Flight:
    task: "asyncio.Task[Entry]"
    user_id: str | None


class Flights:
    """The calls under way, at most one per key.

    A call belongs to none of those who wait for it: they wait with `asyncio.wait` and never cancel it. It is asked for on behalf of the one
    who came first, with whom its result is erased, and in whose lane it waits.
    """

    def __init__(self, store: Store, cache: ExpansionCache) -> None:
        self._store, self._cache = store, cache
        self._flying: dict[str, _Flight] = {}
        self._ending = set[asyncio.Task[Entry]]()

    def __len__(self) -> int:
        return len(self._flying)

    def start(self, key: str, make: Make, user_id: str | None) -> "asyncio.Task[Entry]":
        """The one call for `key`, which is begun unless it is under way; what it ends with is in the cache by then.

        The task raises what `make` raises, and `LlmInvalid` where that was the answer a moment ago. It is cancelled by `erase` and `close`.
        """
        if flight := self._flying.get(key):
            return flight.task
        task = asyncio.create_task(self._fly(key, make, user_id), name=f"expansion {key}")
        self._flying[key] = _Flight(task, user_id)
        task.add_done_callback(lambda ended: self._end(key, ended))
        return task

    def erase(self, user_id: str) -> None:
        """Ends the calls that were begun for `user_id`; nothing of them is kept."""
        for key, flight in list(self._flying.items()):
            if flight.user_id == user_id:
                del self._flying[key]  # whoever asks from now on begins anew
                self._ending.add(flight.task)
                flight.task.cancel()

    async def close(self) -> None:
        """Ends every call, and returns when they have ended."""
        ending = self._ending.union(flight.task for flight in self._flying.values())
        for task in ending:
            task.cancel()
        if ending:
            await asyncio.wait(ending)

    def _end(self, key: str, task: "asyncio.Task[Entry]") -> None:
        self._ending.discard(task)
        if (flight := self._flying.get(key)) and flight.task is task:
            del self._flying[key]
        if not task.cancelled() and (error := task.exception()) and not isinstance(error, ExpanderError):
            LOG.error("expansion_failed", key=key, exc_info=error)  # nobody may be waiting any more

    async def _fly(self, key: str, make: Make, user_id: str | None) -> Entry:
        began = time.monotonic()
        if not self._store.shared:
            return await self._settled(key) or await self._made(key, make, user_id, began)
        if entry := await self._leased(key):
            return entry
        async with self._renewed(key):
            return await self._settled(key) or await self._made(key, make, user_id, began)

    async def _made(self, key: str, make: Make, user_id: str | None, began: float) -> Entry:
        try:
            entry = await make()
        except LlmInvalid as invalid:
            await self._cache.keep_refusal(key, invalid.cause, user_id, time.monotonic() - began)
            raise
        await self._cache.keep(key, entry, user_id, time.monotonic() - began)
        return entry

    async def _settled(self, key: str) -> Entry | None:
        """What somebody else has come to since the caller looked; raises `LlmInvalid` where that is nothing acceptable."""
        if (kept := await self._cache.latest(key)) is None:
            return None
        if kept.age == "negative" or (kept.age == "stale" and self._cache.refused_lately(kept.entry)):
            cause = kept.entry.cause or "unknown"
            raise LlmInvalid(f"the LLM gave nothing acceptable for this a moment ago ({cause})", cause)
        return kept.entry if kept.age == "fresh" else None

    async def _leased(self, key: str) -> Entry | None:
        """Returns the entry of another replica, or None when it is this one's turn."""
        pause_s = 0.0
        while not await self._store.lease(key, LEASE_S):
            if entry := await self._settled(key):
                self._cache.metrics.waits.labels("spared").inc()
                return entry
            pause_s = min(2 * pause_s, SLOWEST_POLL_S) or POLL_S
            await asyncio.sleep(pause_s)
        if pause_s:
            self._cache.metrics.waits.labels("taken_over").inc()
        return None

    @asynccontextmanager
    async def _renewed(self, key: str) -> AsyncIterator[None]:
        """Keeps the lease of `key` while the block runs, and ends it."""
        renewing = asyncio.create_task(self._renew(key))
        try:
            yield
        finally:
            renewing.cancel()
            await asyncio.wait({renewing})
            await self._store.release(key)

    async def _renew(self, key: str) -> None:
        for _ in range(round(LONGEST_S / RENEW_S)):
            await asyncio.sleep(RENEW_S)
            await self._store.lease(key, LEASE_S)
