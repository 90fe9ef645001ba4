"""A store of expansions in a dictionary, which replicas may share and which can be down, slow or lose leases."""

import asyncio
from collections.abc import Sequence

from expander.entries import Entry
from expander.errors import StoreUnavailable


class MemoryStore:
    """`replica` makes another process's view of the same entries and leases."""

    def __init__(self, *, shared: bool = False) -> None:
        self.shared = shared
        self.entries: dict[str, Entry] = {}
        self.owned: dict[str, set[str]] = {}
        self.leases: dict[str, object] = {}
        self.down = False
        self.slow_s = 0.0
        self.closed = False
        self.reads = 0

    def replica(self) -> "MemoryStore":
        other = MemoryStore(shared=True)
        other.entries, other.owned, other.leases = self.entries, self.owned, self.leases
        return other

    async def get(self, key: str) -> Entry | None:
        self.reads += 1
        entry = None if self.down else self.entries.get(key)
        await asyncio.sleep(self.slow_s)
        return entry

    async def put(self, key: str, entry: Entry, user_id: str | None, took_s: float = 0.0) -> None:
        await asyncio.sleep(self.slow_s)
        if not self.down:
            self.entries[key] = entry
            if user_id is not None:
                self.owned.setdefault(user_id, set()).add(key)

    async def erase(self, user_id: str) -> Sequence[str]:
        await asyncio.sleep(self.slow_s)
        if self.down:
            raise StoreUnavailable("down")
        keys = self.owned.pop(user_id, set())
        return [key for key in keys if self.entries.pop(key, None)]

    async def lease(self, key: str, seconds: float) -> bool:
        await asyncio.sleep(0)
        return self.down or not self.shared or self.leases.setdefault(key, self) is self

    async def release(self, key: str) -> None:
        if self.leases.get(key) is self:
            del self.leases[key]

    async def close(self) -> None:
        self.closed = True
