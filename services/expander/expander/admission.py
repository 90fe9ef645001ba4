"""A bounded queue before the LLM: who is asked for next, and who is turned away at once. Knows nothing of what is asked.

vLLM's own queue has no bound on the Neuron releases, so at most `concurrency` questions are sent at once and the others wait here: first
come, first served, within two lanes. Live questions go before bulk ones, of which every 16th turn is one all the same. Each lane keeps a
part of the queue that the other can not fill. Who has waited until its deadline leaves without having been sent.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from expander.errors import LlmBusy, LlmLate
from expander.metrics import LlmMetrics
from servicekit.deadline import Deadline

BULK_TURN = 16
"""Of the turns given while both lanes wait, every so many is bulk's."""
BULK_KEEPS = 1 / 16
"""Share of the queue that live questions leave to bulk ones ..."""
BULK_LEAVES = 1 / 2
"""... and shares of the queue and of the places that bulk ones leave to live ones."""

Waiting = OrderedDict["asyncio.Future[None]", None]


class Places:
    """`concurrency` places (1 or more), and a queue of `queue` (0 or more) before them.

    A place is held by exactly one question from when it is given until its context ends, however that comes: also when the question is
    cancelled in the moment in which it is given its place.
    """

    def __init__(self, concurrency: int, queue: int, metrics: LlmMetrics) -> None:
        self.concurrency, self._queue, self._metrics = concurrency, queue, metrics
        self._bulk_most = concurrency - int(concurrency * BULK_LEAVES)
        self._waiting: dict[bool, Waiting] = {False: OrderedDict(), True: OrderedDict()}
        self._room = {False: queue - int(queue * BULK_KEEPS), True: queue - int(queue * BULK_LEAVES)}
        self._running = {False: 0, True: 0}
        self._live_turns = 0

    @property
    def running(self) -> int:
        """Places that are held."""
        return sum(self._running.values())

    @property
    def waiting(self) -> int:
        """Questions in the queue."""
        return sum(map(len, self._waiting.values()))

    @asynccontextmanager
    async def turn(self, deadline: Deadline, *, bulk: bool = False) -> AsyncIterator[float]:
        """A place, as soon as it is this one's turn, and the seconds waited for it: 0.0 when it was free.

        Raises `LlmBusy` at once, or `LlmLate` when the deadline comes first.
        """
        waited_s = 0.0
        if self._is_free(bulk):
            self._take(bulk)
        else:
            waited_s = await self._wait(deadline, bulk)
        try:
            self._metrics.queue_seconds.labels(_lane(bulk)).observe(waited_s)
            yield waited_s
        finally:
            self._leave(bulk)

    @contextmanager
    def free(self, *, bulk: bool = False) -> Iterator[bool]:
        """A place if one is free now; else False, and nothing is held."""
        if not self._is_free(bulk):
            yield False
            return
        self._take(bulk)
        try:
            yield True
        finally:
            self._leave(bulk)

    def _is_free(self, bulk: bool) -> bool:
        """Whether one more may start. Nobody who may start as well waits then: each place that gets free is given away at once."""
        return self.running < self.concurrency and not (bulk and self._running[True] >= self._bulk_most)

    async def _wait(self, deadline: Deadline, bulk: bool) -> float:
        lane = self._waiting[bulk]
        if self.waiting >= self._queue or len(lane) >= self._room[bulk]:
            raise LlmBusy(
                f"{self.running} questions are at the LLM and {self.waiting} wait, {len(lane)} of them {_lane(bulk)} ones: as many as may."
                " Raise `queue` or `concurrency` in EXPANDER_LLM_LIMITS if the LLM can take more"
            )
        if (remaining := deadline.remaining_s) <= 0:
            raise LlmLate("the deadline had passed before the LLM was asked")
        turn = asyncio.get_running_loop().create_future()
        lane[turn] = None
        self._show(bulk)
        asked = time.perf_counter()
        try:
            async with asyncio.timeout(remaining):
                await turn
            return time.perf_counter() - asked
        except BaseException as error:
            if turn in lane:
                del lane[turn]
            elif not turn.cancelled():  # the place was given in the same moment
                self._leave(bulk)
            if isinstance(error, TimeoutError):
                raise LlmLate(f"its turn at the LLM did not come within {remaining * 1_000:.0f} ms") from None
            raise
        finally:
            self._show(bulk)

    def _take(self, bulk: bool) -> None:
        self._running[bulk] += 1
        self._metrics.permits_in_use.set(self.running)

    def _leave(self, bulk: bool) -> None:
        self._running[bulk] -= 1
        while (lane := self._next()) is not None:
            turn, _ = self._waiting[lane].popitem(last=False)
            if not turn.done():  # a cancelled one has yet to wake up and see
                turn.set_result(None)
                self._running[lane] += 1
        self._metrics.permits_in_use.set(self.running)

    def _next(self) -> bool | None:
        """The lane (True: bulk) whose turn it is; None when nobody may start."""
        live, bulk = bool(self._waiting[False]), bool(self._waiting[True]) and self._is_free(bulk=True)
        if not (live or bulk) or not self._is_free(bulk=False):
            return None
        if live and bulk:
            self._live_turns = (self._live_turns + 1) % BULK_TURN
            return self._live_turns == 0
        return bulk

    def _show(self, bulk: bool) -> None:
        self._metrics.waiting.labels(_lane(bulk)).set(len(self._waiting[bulk]))


def _lane(bulk: bool) -> str:
    return "bulk" if bulk else "live"
