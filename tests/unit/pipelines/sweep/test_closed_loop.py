"""The load is full while anything counts, warm-up does not count, and failures are counted by name."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from pipelines.sweep.closed_loop import measured
from pipelines.sweep.grid import Pace
from pipelines.sweep.runs import Answer, Failed


class Model:
    """Answers after `seconds`, and notes how many were asked at once; request numbers in `fails` fail."""

    def __init__(self, seconds: float = 0.01, fails: Callable[[int], bool] = lambda _: False) -> None:
        self.seconds, self.fails = seconds, fails
        self.asked = self.in_flight = 0
        self.at_ends: list[int] = []

    def ask(self) -> Awaitable[Answer]:
        return self._answer()

    async def _answer(self) -> Answer:
        self.asked += 1
        number, started = self.asked, time.perf_counter()
        self.in_flight += 1
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.at_ends.append(self.in_flight)
            self.in_flight -= 1
        if self.fails(number):
            raise Failed("status 503", f"request {number}")
        return Answer(1_000 * (time.perf_counter() - started), 10, 5)


async def test_exactly_the_asked_requests_count_and_every_caller_is_busy_until_the_last_of_them() -> None:
    model = Model()
    run = await measured(model.ask, 4, Pace(requests=22, warmup=0))
    assert len(run.answers) == 22
    assert model.at_ends[:22] == [4] * 22
    assert 22 <= model.asked < 22 + 4


async def test_warm_up_is_not_counted() -> None:
    model = Model(0.001, fails=lambda number: number <= 6)
    run = await measured(model.ask, 3, Pace(requests=9, warmup=2))
    assert (len(run.answers), run.failures) == (9, {})
    assert model.asked >= 9 + 6


async def test_the_rate_is_callers_over_the_mean_latency() -> None:
    run = await measured(Model(0.02).ask, 5, Pace(requests=50, warmup=0))
    mean_s = sum(each.ms for each in run.answers) / len(run.answers) / 1_000
    assert run.per_second == pytest.approx(5 / mean_s, rel=0.15)


async def test_no_request_begins_after_the_seconds() -> None:
    run = await measured(Model(0.01).ask, 2, Pace(requests=None, seconds=0.2, warmup=0))
    assert 2 <= len(run.answers) <= 42
    assert 0.2 <= run.seconds < 2


async def test_failures_are_counted_by_name_with_the_first_of_each_kept_and_their_time_is_paid_for() -> None:
    run = await measured(Model(fails=lambda number: number % 4 == 0).ask, 1, Pace(requests=20, warmup=0))
    assert (len(run.answers), run.failures, run.examples) == (15, {"status 503": 5}, {"status 503": "request 4"})
    mean_s = sum(each.ms for each in run.answers) / 15 / 1_000
    assert run.per_second == pytest.approx(0.75 / mean_s, rel=0.15)
    assert not run.given_up


@pytest.mark.parametrize(("callers", "failures"), [(1, 10), (8, 16)])
async def test_a_cell_of_nothing_but_failures_is_given_up(callers: int, failures: int) -> None:
    run = await measured(Model(0.0, fails=lambda _: True).ask, callers, Pace(requests=1_000, warmup=0))
    assert run.given_up
    assert failures <= run.failures["status 503"] < failures + callers
    assert (run.answers, run.per_second) == ((), 0)
