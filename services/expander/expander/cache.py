"""Keeps expansions in memory, in front of a store that outlives this process. Knows nothing of who makes them or how the store works."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import Literal, NamedTuple

from expander.entries import NEGATIVE_TTL_S, PERSONAL_TTL_S, Entry, Store
from expander.metrics import ExpanderMetrics

Age = Literal["fresh", "stale", "negative"]


class Kept(NamedTuple):
    """An entry and what it is worth: `fresh`, `stale` (to be made anew, and good until then), or `negative` (no topics, and do not ask)."""

    entry: Entry
    age: Age


class ExpansionCache:
    """At most `size` entries in memory, the least recently used leave first; `clock` gives seconds since the epoch.

    Where the store is shared, what a user's words led to stays out of memory and is read from the store each time: an erasure that
    another replica does would not reach this one's memory. Where it is not shared, an erasure reaches one replica, so each gives up what a
    user's words led to after `PERSONAL_TTL_S`.
    """

    def __init__(self, store: Store, size: int, ttl_s: float, metrics: ExpanderMetrics, clock: Callable[[], float] = time.time) -> None:
        self._store, self._size, self._ttl_s, self._clock = store, size, ttl_s, clock
        self._memory: OrderedDict[str, Kept] = OrderedDict()
        self._owners: dict[str, set[str]] = {}
        """Keys in memory by the user that they were kept for; `_owner` is the other way round."""
        self._owner: dict[str, str] = {}
        self._erasures = 0
        self.metrics = metrics.cache
        self._lookups = metrics.cache.lookups
        self._fresh_in_memory = self._lookups.labels("memory", "fresh")
        metrics.cache.entries.set_function(self.__len__)

    def __len__(self) -> int:
        return len(self._memory)

    def peek(self, key: str) -> Kept | None:
        """What memory has under `key`. Counts as a lookup when it is fresh; whoever wants more than that goes on to `find`."""
        kept = self._remembered(key)
        if kept is not None and kept.age == "fresh":
            self._fresh_in_memory.inc()
        return kept

    async def find(self, key: str) -> Kept | None:
        """What is kept under `key`, in memory or in the store."""
        if kept := self._remembered(key):
            self._lookups.labels("memory", kept.age).inc()
            return kept
        kept = await self._stored(key)
        self._lookups.labels("store" if kept else "none", kept.age if kept else "missing").inc()
        return kept

    async def latest(self, key: str) -> Kept | None:
        """What may have come since `find` looked: a shared store is asked first, else memory has it; not counted."""
        if self._store.shared:
            return await self._stored(key) or self._remembered(key)
        return self._remembered(key)

    async def keep(self, key: str, entry: Entry, user_id: str | None, took_s: float = 0.0) -> None:
        """Keeps `entry`, begun `took_s` ago, for `user_id` or for nobody; returns when the store has it, or has failed to."""
        if self._store.shared and entry.personal:
            self._forget(key)
        else:
            self._remember(key, entry, user_id)
        if entry.topics or self._store.shared:  # a negative one is over before a process of its own is started again
            await self._store.put(key, entry, user_id, took_s)

    async def keep_refusal(self, key: str, cause: str, user_id: str | None, took_s: float = 0.0) -> None:
        """Keeps that the LLM gave nothing acceptable for `key`, which is not asked for again for `NEGATIVE_TTL_S`.

        Topics that are there already stay, and are answered with as before.
        """
        now, kept = self._clock(), await self.latest(key) or await self._stored(key)
        if kept is not None and kept.entry.topics:
            entry = replace(kept.entry, refused_at=now, cause=cause)
        else:
            entry = Entry((), now, cause=cause, personal=user_id is not None)
        await self.keep(key, entry, user_id, took_s)

    def refused_lately(self, entry: Entry) -> bool:
        """Whether it is too early to ask again for an entry that is stale."""
        return abs(self._clock() - entry.refused_at) < NEGATIVE_TTL_S

    async def erase(self, user_id: str) -> int:
        """Removes everything that was kept for `user_id`; how many entries went. Raises `StoreUnavailable`: then ask again."""
        self._erasures += 1
        keys = set(self._owners.get(user_id, ()))
        for key in keys:
            self._forget(key)
        stored = await self._store.erase(user_id)
        for key in stored:
            self._forget(key)
        return len(keys.union(stored))

    async def close(self) -> None:
        """Ends the store; what was kept before is kept."""
        await self._store.close()

    def _remembered(self, key: str) -> Kept | None:
        if (held := self._memory.get(key)) is None:
            return None
        self._memory.move_to_end(key)
        age = self._clock() - held.entry.made_at
        if held.age == "fresh" and -self._ttl_s < age < self._ttl_s and not held.entry.personal:
            return held  # as it lies there: this is what most requests end with
        if (kept := self._aged(held.entry)) is None:
            self._forget(key)
        return kept

    def _aged(self, entry: Entry) -> Kept | None:
        """`entry` and its age; one that lies further in the future than it may in the past is as old."""
        age = abs(self._clock() - entry.made_at)
        if entry.personal and not self._store.shared and age >= PERSONAL_TTL_S:
            return None
        if entry.topics:
            return Kept(entry, "fresh" if age < self._ttl_s else "stale")
        return Kept(entry, "negative") if age < NEGATIVE_TTL_S else None

    async def _stored(self, key: str) -> Kept | None:
        """What the store has; what came to memory meanwhile is newer."""
        erasures = self._erasures
        entry = await self._store.get(key)
        if entry is None or (kept := self._aged(entry)) is None:
            return None
        held = self._memory.get(key)
        if held is not None and held.entry.made_at > entry.made_at:
            return self._remembered(key)
        if not entry.personal or (erasures == self._erasures and not self._store.shared):
            self._remember(key, entry, None)
        elif self._store.shared:
            self._forget(key)
        return kept

    def _remember(self, key: str, entry: Entry, user_id: str | None) -> None:
        self._memory[key] = Kept(entry, "fresh" if entry.topics else "negative")
        self._memory.move_to_end(key)
        if user_id is not None and self._owner.get(key) != user_id:
            self._disown(key)
            self._owner[key] = user_id
            self._owners.setdefault(user_id, set()).add(key)
        while len(self._memory) > self._size:
            self._disown(self._memory.popitem(last=False)[0])

    def _forget(self, key: str) -> None:
        self._memory.pop(key, None)
        self._disown(key)

    def _disown(self, key: str) -> None:
        if (user_id := self._owner.pop(key, None)) is not None:
            keys = self._owners[user_id]
            keys.discard(key)
            if not keys:
                del self._owners[user_id]
