import asyncio
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from retriever.threads import Threads
from servicekit import context


def nothing() -> None:
    """Begins a thread that needs nothing."""


@pytest.fixture
def threads() -> Iterator[Threads]:
    with closing(Threads(2, "test", nothing)) as made:
        yield made


async def test_work_is_done_in_another_thread_in_the_context_of_its_caller(threads: Threads) -> None:
    context.request_id.set("mine")
    assert await threads.run(lambda: (threading.current_thread() is threading.main_thread(), context.request_id.get())) == (False, "mine")


async def test_an_error_is_raised_where_it_is_waited_for_and_the_thread_goes_on(threads: Threads) -> None:
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            await threads.run(lambda: 1 / 0)
    assert await threads.run(abs, -1) == 1


async def test_two_threads_work_side_by_side(threads: Threads) -> None:
    both = threading.Barrier(2, timeout=20)
    assert sorted(await asyncio.gather(threads.run(both.wait), threads.run(both.wait))) == [0, 1]


async def test_who_is_cancelled_leaves_the_others_their_answers(threads: Threads) -> None:
    opened = threading.Event()
    left, stays = (asyncio.create_task(threads.run(opened.wait, 20)) for _ in range(2))
    await asyncio.sleep(0)
    left.cancel()
    opened.set()
    assert await stays
    with pytest.raises(asyncio.CancelledError):
        await left
    assert await threads.run(abs, -2) == 2


async def test_what_was_put_is_done_before_the_threads_end_and_nothing_after() -> None:
    threads, done = Threads(1, "test", nothing), list[int]()
    for number in range(100):
        threads.put(lambda number=number: done.append(number))  # type: ignore[misc]
    threads.close()
    threads.close()
    assert done == list(range(100))
    with pytest.raises(RuntimeError, match="shutting down"):
        threads.put(nothing)


def test_an_answer_for_a_loop_that_is_closed_is_dropped() -> None:
    opened, threads = threading.Event(), Threads(1, "test", nothing)

    async def leave() -> None:
        asyncio.create_task(threads.run(opened.wait, 20)).add_done_callback(lambda _: None)
        await asyncio.sleep(0)

    asyncio.run(leave())
    opened.set()
    threads.close()
