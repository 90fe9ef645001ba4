"""The threads: one that writes, one that reads long bodies, some that search. Knows nothing of what they do."""

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from retriever.errors import Overloaded
from retriever.segments.flat import search_on_one_thread

P = ParamSpec("P")
T = TypeVar("T")


SEARCHES_PER_THREAD = 4
"""Admitted at once, those that wait included: a served search waits for three others at most, however many are refused."""


class Workers:
    """Keeps work over a millisecond off the event loop; the request's context goes along, for its timings."""

    def __init__(self, search_threads: int) -> None:
        self._admitted, self._most_admitted = 0, SEARCHES_PER_THREAD * search_threads
        self._searchers = ThreadPoolExecutor(search_threads, "search", initializer=search_on_one_thread)
        self._writer = ThreadPoolExecutor(1, "write", initializer=search_on_one_thread)
        self._reader = ThreadPoolExecutor(1, "read")

    async def search(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs reading work beside other readers."""
        return await _run(self._searchers, work, *args, **kwargs)

    def check_admission(self) -> None:
        """Raises Overloaded when one more search would wait too long."""
        if self._admitted >= self._most_admitted:
            raise Overloaded(f"{self._admitted} searches are being worked on or wait already; try again in a second.")

    async def admit(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As `search`, for what takes long enough to be refused when there is too much of it; raises Overloaded."""
        self.check_admission()
        self._admitted += 1
        try:
            return await self.search(work, *args, **kwargs)
        finally:
            self._admitted -= 1

    async def read(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs the reading of a long body, beside searches, which would wait for it in their own threads."""
        return await _run(self._reader, work, *args, **kwargs)

    async def write(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs writing work after the writes that came before it; it is finished even when the caller goes away."""
        return await _run(self._writer, work, *args, **kwargs)

    def write_from_thread(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The same for a thread that is not the event loop's; waits."""
        return self._writer.submit(work, *args, **kwargs).result()

    def close(self) -> None:
        """Waits for what was begun."""
        self._reader.shutdown()
        self._searchers.shutdown()
        self._writer.shutdown()


async def _run(pool: ThreadPoolExecutor, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    context = contextvars.copy_context()
    return await asyncio.get_running_loop().run_in_executor(pool, lambda: context.run(work, *args, **kwargs))
