"""The threads: one that writes, one that reads long bodies, some that search. Knows nothing of what they do."""

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from retriever.admission import Admission
from retriever.joining import Joining, Together
from retriever.segments.flat import search_on_one_thread
from retriever.threads import Threads

P = ParamSpec("P")
T = TypeVar("T")
Question = TypeVar("Question")


class Workers:
    """Keeps work over a millisecond off the event loop; the request's context goes along, for its timings."""

    def __init__(self, search_threads: int) -> None:
        self.admission = Admission(search_threads)
        self._count, self._searchers = search_threads, Threads(search_threads, "search", search_on_one_thread)
        self._joining: dict[Any, Joining[Any, Any]] = {}
        self._writer = ThreadPoolExecutor(1, "write", initializer=search_on_one_thread)
        self._reader = ThreadPoolExecutor(1, "read")

    async def search(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs reading work beside other readers."""
        return await self._searchers.run(work, *args, **kwargs)

    async def join(self, together: Together[Question, T], question: Question) -> T:
        """As `search`, for a question that a thread may answer together with others that wait for it."""
        if together not in self._joining:
            self._joining[together] = Joining(self._searchers, self._count, together)
        answer: T = await self._joining[together].ask(question)
        return answer

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
        self._searchers.close()
        self._writer.shutdown()


async def _run(pool: ThreadPoolExecutor, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    context = contextvars.copy_context()
    return await asyncio.get_running_loop().run_in_executor(pool, lambda: context.run(work, *args, **kwargs))
