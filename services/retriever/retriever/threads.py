"""Threads that take work in turn, for coroutines that wait for it. Knows nothing of what is done.

Not a `ThreadPoolExecutor`, whose two futures and their locks cost a search of half a millisecond a twentieth.
"""

import asyncio
import contextvars
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
Settled = tuple["asyncio.Future[Any]", Any]
"""What is waited for, and its result or the error."""


class Threads:
    """`count` of them; `begin` is called in each."""

    def __init__(self, count: int, name: str, begin: Callable[[], None]) -> None:
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._threads = [Thread(target=self._run, args=(begin,), name=f"{name}_{place}") for place in range(count)]
        for thread in self._threads:
            thread.start()

    def put(self, work: Callable[[], None]) -> None:
        """To be called by the next thread that is free; it must not raise. Raises RuntimeError when the threads have ended."""
        if not self._threads:
            raise RuntimeError("The threads have ended; the service is shutting down.")
        self._work.put(work)

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `work` gives or raises; the caller's context goes along."""
        context, loop = contextvars.copy_context(), asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()

        def do() -> None:
            try:
                result: Any = context.run(work, *args, **kwargs)
            except BaseException as error:  # it is raised where it is waited for
                result = error
            settle(loop, [(answer, result)])

        self.put(do)
        return await answer

    def close(self) -> None:
        """Waits for what was put."""
        threads, self._threads = self._threads, []
        for _ in threads:
            self._work.put(None)
        for thread in threads:
            thread.join()

    def _run(self, begin: Callable[[], None]) -> None:
        begin()
        while (work := self._work.get()) is not None:
            work()


def settle(loop: asyncio.AbstractEventLoop, settled: Sequence[Settled]) -> None:
    """To be called in a thread: gives results and errors to those that wait for them on `loop`, all at once."""
    with suppress(RuntimeError):  # the loop is closed and nobody waits
        loop.call_soon_threadsafe(_settle, settled)


def _settle(settled: Sequence[Settled]) -> None:
    for answer, result in settled:
        if answer.done():  # whoever waited was cancelled
            continue
        if isinstance(result, BaseException):
            answer.set_exception(result)
        else:
            answer.set_result(result)
