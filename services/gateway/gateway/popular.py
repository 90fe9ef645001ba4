"""Holds the popular list, so that there is an answer with the retriever down. Knows nothing of who is popular why."""

import asyncio
import json
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Protocol

from gateway.candidates import Candidate, Filter, Found, Search, SourceScore
from gateway.filters import passes
from servicekit import logs
from servicekit.client import ServiceError
from servicekit.deadline import Deadline

LOG = logs.get(__name__)
LENGTH, FETCH_DEADLINE_MS, RETRY_S = 1_000, 5_000, 2.0
WEIGHTS = {"popular": 1.0}


class Retriever(Protocol):
    """Where the list comes from."""

    async def retrieve(self, search: Search, deadline: Deadline) -> Found: ...


class PopularList:
    """The most popular items, at most 1,000, kept in the file `path`; `run` renews them every `refresh_s` seconds."""

    def __init__(self, retriever: Retriever, path: Path, refresh_s: float) -> None:
        self._retriever, self._path, self._refresh_s = retriever, path, refresh_s
        self._changed = asyncio.Event()
        self._items = self._read()

    def _read(self) -> tuple[Candidate, ...]:
        try:
            rows = json.loads(self._path.read_bytes())
            return tuple(_popular(row["id"], row["title"], row["attributes"], row["score"]) for row in rows)
        except FileNotFoundError:
            return ()
        except (OSError, ValueError, TypeError, KeyError) as error:
            LOG.warning("popular_list_unreadable", path=str(self._path), error=repr(error))
            return ()

    def __len__(self) -> int:
        return len(self._items)

    async def run(self) -> None:
        """Renews the list until cancelled: at start, at intervals, and soon after `renew_soon`."""
        while True:
            self._changed.clear()
            pause = self._refresh_s if await self.renew() else min(RETRY_S, self._refresh_s)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._changed.wait()
                    await asyncio.sleep(min(1.0, pause))  # one renewal for many writes

    async def renew(self) -> bool:
        """Fetches the list once; False when the retriever did not give one, and the list stays as it was."""
        try:
            found = await self._retriever.retrieve(Search(WEIGHTS, LENGTH), Deadline.after_ms(FETCH_DEADLINE_MS))
        except ServiceError as error:
            LOG.info("popular_list_kept", items=len(self._items), error=str(error))
            return False
        items = tuple(_popular(one.id, one.title, dict(one.attributes), one.score) for one in found.candidates)
        if items != self._items:
            self._items = items
            await asyncio.to_thread(self._write, items)
        return True

    def renew_soon(self) -> None:
        """Says that the catalogue or the popular space changed."""
        self._changed.set()

    def forget(self, item_id: str) -> None:
        """Drops an item that left the catalogue."""
        self._items = tuple(item for item in self._items if item.id != item_id)

    def _write(self, items: tuple[Candidate, ...]) -> None:
        rows = [{"id": one.id, "title": one.title, "attributes": dict(one.attributes), "score": one.score} for one in items]
        part = self._path.with_suffix(".part")
        try:
            part.write_text(json.dumps(rows))
            part.replace(self._path)
        except OSError as error:
            LOG.warning("popular_list_not_written", path=str(self._path), error=str(error))

    def best(self, k: int, conditions: Filter, excluded: frozenset[str]) -> Found | None:
        """The `k` most popular items that pass; None when no list is held."""
        if not self._items:
            return None
        passing = (one for one in self._items if one.id not in excluded and passes(one.id, one.attributes, conditions))
        return Found(tuple(islice(passing, k)), WEIGHTS)


def _popular(item_id: str, title: str, attributes: dict[str, object], score: float) -> Candidate:
    return Candidate(item_id, title, attributes, float(score), {"popular": SourceScore(float(score))})
