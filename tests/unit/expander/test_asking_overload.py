"""An LLM under three times the load that it takes: what is answered, how long that takes, and how soon it is over."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field

import pytest
from tests.fakes import llm as fake
from tests.fakes.llm import GOOD, FakeLlm
from tests.unit.expander.questions import Asking, asking, until

from expander.errors import LlmFailed

pytestmark = pytest.mark.timed
CAPACITY = 4
LATE_BY_S = 0.25
"""What a busy machine may take longer to tell that the time is over."""


@dataclass
class Load:
    """What became of questions that came at a rate, whether or not the earlier ones were answered."""

    outcomes: Counter[str] = field(default_factory=Counter)
    longest_s: float = 0.0
    most_waiting: float = 0.0

    async def come(self, asked: Asking, per_second: float, seconds: float, within_s: float) -> None:
        began, tasks = time.monotonic(), set[asyncio.Task[None]]()
        for number in range(int(per_second * seconds)):
            await asyncio.sleep(max(0.0, began + number / per_second - time.monotonic()))
            tasks.add(asyncio.create_task(self._ask(asked, within_s)))
            self.most_waiting = max(self.most_waiting, asked.count("expander_llm_queue_waiting", lane="live"))
        await asyncio.gather(*tasks)

    async def _ask(self, asked: Asking, within_s: float) -> None:
        began = time.monotonic()
        try:
            await asked.ask(within_s)
            self.outcomes["answered"] += 1
        except LlmFailed as error:
            self.outcomes[error.outcome] += 1
        self.longest_s = max(self.longest_s, time.monotonic() - began)


@pytest.mark.parametrize(
    ("latency_s", "within_s", "queue"), [(0.05, 2.0, 16), (0.2, 1.0, 64)], ids=["short queue", "queue longer than the deadline"]
)
async def test_three_times_its_capacity_costs_the_llm_little_and_no_question_its_deadline(
    llm: FakeLlm, latency_s: float, within_s: float, queue: int
) -> None:
    llm.capacity, llm.latency_s = CAPACITY, latency_s
    takes_per_s, seconds, load = CAPACITY / latency_s, 2.5, Load()
    async with asking(llm, concurrency=2 * CAPACITY, queue=queue) as asked:
        await load.come(asked, 3 * takes_per_s, seconds, within_s)
        assert load.longest_s < within_s + LATE_BY_S
        assert load.most_waiting <= queue
        assert llm.most_in_flight <= 2 * CAPACITY
        assert set(load.outcomes) <= {"answered", "busy", "late"}
        assert load.outcomes["answered"] > 0.7 * takes_per_s * seconds, load.outcomes
        assert len(llm.requests) - llm.answered <= 0.2 * len(llm.requests), "the LLM worked for nobody"
        began = time.monotonic()
        assert await asked.outcomes(CAPACITY, within_s) == ["answered"] * CAPACITY
        assert time.monotonic() - began < within_s


async def test_a_hanging_llm_costs_each_question_its_deadline_at_most_and_soon_nothing(llm: FakeLlm) -> None:
    llm.plays(fake.stalls)
    load, after = Load(), Load()
    async with asking(llm, concurrency=8, queue=16) as asked:
        await load.come(asked, 100, 1.0, 0.3)
        assert load.longest_s < 0.3 + LATE_BY_S
        assert load.outcomes["shut"] > 30
        assert load.outcomes["answered"] == 0
        await until(lambda: llm.in_flight == 0)
        llm.plays(fake.lists(*GOOD))
        await after.come(asked, 50, 4.0, 0.3)
        assert after.outcomes["answered"] > 0, "it did not come back within four seconds"
        assert await asked.outcomes(8) == ["answered"] * 8
        assert asked.count("expander_llm_permits_in_use") == 0
