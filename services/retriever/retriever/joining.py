"""Joins the questions that wait, so that a thread which becomes free answers several at once. Knows nothing of what is asked.

Nothing waits for others to come: a free thread takes its share of what is there, which is one question while there is little to do.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from retriever.threads import Threads, settle

Question = TypeVar("Question")
Answer = TypeVar("Answer")
Together = Callable[[Sequence[Question]], Sequence[Answer | Exception]]
"""For each question its answer, or the error that whoever asked it gets."""


class Joining(Generic[Question, Answer]):
    """Used on one event loop; `together` is called in `threads`, of which there are `count`."""

    def __init__(self, threads: Threads, count: int, together: Together[Question, Answer]) -> None:
        self._threads, self._count, self._together = threads, count, together
        self._waiting: deque[tuple[Question, asyncio.Future[Answer]]] = deque()

    async def ask(self, question: Question) -> Answer:
        """The answer; raises the question's error."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, answer))
        self._threads.put(self._answer_some)  # once for each question; a thread that comes too late finds none
        return await answer

    def _answer_some(self) -> None:
        """In a thread: a share that leaves as much to each of the others."""
        share = -(-len(self._waiting) // self._count)
        taken: list[tuple[Question, asyncio.Future[Answer]]] = []
        try:
            while len(taken) < share:
                taken.append(self._waiting.popleft())
        except IndexError:  # others took them meanwhile
            pass
        if not taken:
            return
        try:
            answers = self._together([question for question, _ in taken])
        except Exception as error:
            answers = [error] * len(taken)
        settle(taken[0][1].get_loop(), [(future, answer) for (_, future), answer in zip(taken, answers, strict=True)])
