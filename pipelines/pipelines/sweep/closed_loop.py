"""A closed loop: so many callers, each with one request in flight, all the time that counts. Knows nothing of HTTP.

The load is full from the first counted request to the last: when no counted request is left to begin, callers go on with uncounted ones
until the last counted one is answered.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime

from pipelines.sweep.grid import Pace
from pipelines.sweep.runs import Answer, Failed, Run

LEAST_FAILURES = 10
"""A cell is given up after so many failures in a row, or twice as many as there are callers."""


async def measured(ask: Callable[[], Awaitable[Answer]], concurrency: int, pace: Pace, fixed: str = "") -> Run:
    """What `concurrency` callers of `ask`, which raises `Failed`, got; warm-up comes first and is not counted."""
    await asyncio.gather(*(_warm(ask, pace.warmup) for _ in range(concurrency)))
    cell = _Cell(ask, concurrency, pace)
    started, cpu = datetime.now(UTC), time.process_time()
    rates = await asyncio.gather(*(cell.call() for _ in range(concurrency)))
    seconds = time.monotonic() - cell.started
    return Run(
        answers=tuple(cell.answers),
        failures=dict(cell.failures),
        examples=cell.examples,
        per_second=sum(rates),
        seconds=seconds,
        client_share=(time.process_time() - cpu) / seconds,
        fixed=fixed,
        given_up=cell.given_up,
        started=started.isoformat(timespec="seconds"),
    )


async def _warm(ask: Callable[[], Awaitable[Answer]], times: int) -> None:
    for _ in range(times):
        with suppress(Failed):  # what fails here fails again where it is counted
            await ask()


class _Cell:
    """What the callers of one cell share."""

    def __init__(self, ask: Callable[[], Awaitable[Answer]], concurrency: int, pace: Pace) -> None:
        self._ask, self._pace, self._patience = ask, pace, max(LEAST_FAILURES, 2 * concurrency)
        self._begun = self._in_flight = self._in_a_row = 0
        self.answers: list[Answer] = []
        self.failures: Counter[str] = Counter()
        self.examples: dict[str, str] = {}
        self.given_up = False
        self.started = time.monotonic()

    async def call(self) -> float:
        """One caller, until every counted request is answered; its answers per second of its own time."""
        answered, last = 0, self.started
        while True:
            counted = self._take()
            if not counted and (not self._in_flight or self.given_up):
                return answered / (last - self.started) if last > self.started else 0.0
            answer = await self._outcome(counted=counted)
            if counted:
                self._in_flight -= 1
                answered, last = answered + (answer is not None), time.monotonic()

    def _take(self) -> bool:
        """Whether the next request counts."""
        if self._pace.requests is not None:
            left = self._begun < self._pace.requests
        else:
            left = time.monotonic() - self.started < (self._pace.seconds or 0)
        if not left or self.given_up:
            return False
        self._begun += 1
        self._in_flight += 1
        return True

    async def _outcome(self, *, counted: bool) -> Answer | None:
        try:
            answer = await self._ask()
        except Failed as failed:
            if counted:
                self.failures[failed.cause] += 1
                self.examples.setdefault(failed.cause, failed.detail)
            self._in_a_row += 1
            self.given_up = self.given_up or self._in_a_row >= self._patience
            await asyncio.sleep(0)  # a failure may come without any waiting, and the others must get their turn
            return None
        self._in_a_row = 0
        if counted:
            self.answers.append(answer)
        return answer
