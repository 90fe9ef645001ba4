import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing

import pytest

from retriever.joining import Joining
from retriever.threads import Threads


class Doubler:
    """Doubles numbers, refuses negative ones, breaks down on 13; keeps what came together, and waits while it is held."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.opened = threading.Event()
        self.opened.set()

    def __call__(self, numbers: Sequence[int]) -> list[int | Exception]:
        self.batches.append(list(numbers))
        assert self.opened.wait(20)
        if 13 in numbers:
            raise RuntimeError("a doubler can not")
        return [2 * number if number >= 0 else ValueError(f"{number} is negative") for number in numbers]


@pytest.fixture
def doubler() -> Doubler:
    return Doubler()


@pytest.fixture
def one() -> Iterator[Threads]:
    with closing(Threads(1, "test", lambda: None)) as threads:
        yield threads


async def held(doubler: Doubler, joining: Joining[int, int], first: int) -> asyncio.Task[int]:
    """A question that a thread has taken and does not answer before the doubler is opened."""
    doubler.opened.clear()
    asked = asyncio.create_task(joining.ask(first))
    while not doubler.batches:
        await asyncio.sleep(0.001)
    return asked


async def test_what_waits_is_answered_together_and_each_gets_its_own(doubler: Doubler, one: Threads) -> None:
    joining = Joining(one, 1, doubler)
    first = await held(doubler, joining, 1)
    rest = [asyncio.create_task(joining.ask(number)) for number in (2, -3, 4)]
    await asyncio.sleep(0)
    doubler.opened.set()
    assert await asyncio.gather(first, *rest, return_exceptions=True) == [2, 4, rest[1].exception(), 8]
    assert str(rest[1].exception()) == "-3 is negative"
    assert doubler.batches == [[1], [2, -3, 4]]


async def test_a_question_alone_does_not_wait_for_others(doubler: Doubler, one: Threads) -> None:
    joining = Joining(one, 1, doubler)
    assert [await joining.ask(number) for number in range(5)] == [0, 2, 4, 6, 8]
    assert doubler.batches == [[number] for number in range(5)]


async def test_a_thread_leaves_the_others_their_share(doubler: Doubler) -> None:
    with closing(Threads(2, "test", lambda: None)) as threads:
        joining = Joining(threads, 2, doubler)
        busy = [await held(doubler, joining, 0)]
        busy.append(asyncio.create_task(joining.ask(0)))
        while len(doubler.batches) < 2:
            await asyncio.sleep(0.001)
        rest = [asyncio.create_task(joining.ask(number)) for number in range(1, 5)]
        await asyncio.sleep(0)
        doubler.opened.set()
        await asyncio.gather(*busy, *rest)
    assert max(map(len, doubler.batches)) == 2
    assert sorted(number for batch in doubler.batches for number in batch) == [0, 0, 1, 2, 3, 4]


async def test_when_all_breaks_down_each_is_told_and_the_next_are_answered(doubler: Doubler, one: Threads) -> None:
    joining = Joining(one, 1, doubler)
    first = await held(doubler, joining, 1)
    rest = [asyncio.create_task(joining.ask(number)) for number in (13, 2)]
    await asyncio.sleep(0)
    doubler.opened.set()
    told = await asyncio.gather(first, *rest, return_exceptions=True)
    assert [str(one) for one in told] == ["2", "a doubler can not", "a doubler can not"]
    assert await joining.ask(3) == 6


async def test_who_leaves_takes_nothing_from_those_beside_it(doubler: Doubler, one: Threads) -> None:
    joining = Joining(one, 1, doubler)
    first = await held(doubler, joining, 1)
    leaves, stays = (asyncio.create_task(joining.ask(number)) for number in (2, 3))
    await asyncio.sleep(0)
    leaves.cancel()
    doubler.opened.set()
    assert (await first, await stays) == (2, 6)
