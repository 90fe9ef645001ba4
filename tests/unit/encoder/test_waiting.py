"""Whose turn it is: short ones between the passages of long ones, online before bulk, nobody that nobody waits for."""

import asyncio
import math
from collections.abc import Iterator

import numpy as np
import pytest

from encoder.ladder import Ladder
from encoder.request import Priority, Request
from encoder.waiting import MOST_DEAD, Waiting
from servicekit.deadline import Deadline

LADDER = Ladder((4, 16, 64), texts=4, positions=64)


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


class Callers:
    """Makes requests; a passage is as long as its list."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ladder: Ladder = LADDER) -> None:
        self.waiting, self._loop, self._told = Waiting(ladder), loop, 0

    def ask(self, *lengths: int, priority: Priority = Priority.ONLINE, keys: str = "", deadline: float = math.inf) -> Request:
        request = Request(np.empty((len(lengths), 2), np.float32), Deadline(deadline), priority, self._loop.create_future())
        named = [key.encode() for key in keys] or [b""] * len(lengths)
        passages = [(index, key, [0] * length) for index, (length, key) in enumerate(zip(lengths, named, strict=True))]
        self.added = self.waiting.add(request, passages)
        return request

    def served(self, threads: int = 1) -> list[set[Request]]:
        """Who has passages in each of the batches until nothing waits."""
        batches = []
        while batch := self.waiting.take(threads):
            batches.append({request for passage in batch for request, _ in passage.takers})
        return batches


@pytest.fixture
def callers(loop: asyncio.AbstractEventLoop) -> Callers:
    return Callers(loop)


def test_a_batch_has_passages_of_one_step_and_no_more_than_the_ladder_takes(callers: Callers) -> None:
    callers.ask(3, 60, 4, 1, 14, 2, 4, 16, 16, 16, 10)
    lengths = []
    while batch := callers.waiting.take(1):
        lengths.append([passage.tokens for passage in batch])
    assert sorted(map(sorted, lengths)) == [[1, 2, 3, 4], [4], [10], [14, 16, 16, 16], [60]]


def test_a_passage_longer_than_the_ladder_is_run_alone(callers: Callers) -> None:
    callers.ask(200, 200)
    assert [len(callers.waiting.take(1)) for _ in range(3)] == [1, 1, 0]


def test_a_short_request_is_served_between_the_passages_of_a_long_one(callers: Callers) -> None:
    long = callers.ask(*[4] * 40)
    callers.waiting.take(1)
    short = callers.ask(4)
    assert [short in batch for batch in callers.served()].index(True) <= 1
    assert long.passages


def test_turns_go_by_tokens_not_by_passages(callers: Callers) -> None:
    """Of two that come together the one with few tokens is done first, however many passages it has."""
    heavy, light = callers.ask(*[60] * 6), callers.ask(*[2] * 24)
    order = callers.served()
    last_of = {request: max(place for place, batch in enumerate(order) if request in batch) for request in (heavy, light)}
    assert last_of[light] < last_of[heavy]


def test_every_free_thread_has_a_share(callers: Callers) -> None:
    callers.ask(*[4] * 8)
    assert [len(callers.waiting.take(threads)) for threads in (4, 3, 2, 1)] == [2, 2, 2, 2]


def test_online_is_first_and_bulk_gets_what_is_left(callers: Callers) -> None:
    bulk = [callers.ask(4, 4, 4, 4, priority=Priority.BULK) for _ in range(3)]
    online = callers.ask(4)
    order = callers.served()
    assert order[0] == {online}
    assert set().union(*order[1:]) == set(bulk)


def test_bulk_gets_a_sixteenth_of_the_tokens_while_online_leaves_nothing(callers: Callers) -> None:
    bulk = callers.ask(*[4] * 400, priority=Priority.BULK)
    tokens = {True: 0, False: 0}
    for _ in range(1000):
        callers.ask(4, 4)
        callers.ask(4, 4)
        batch = callers.waiting.take(1)
        tokens[batch[0].takers[0][0] is bulk] += sum(passage.tokens for passage in batch)
    assert tokens[True] / sum(tokens.values()) == pytest.approx(1 / 16, abs=0.005)


def test_equal_texts_wait_once_and_all_of_their_callers_take_it(callers: Callers) -> None:
    first, second = callers.ask(4, 4, keys="ab"), callers.ask(4, 4, keys="bc")
    assert (len(callers.waiting), callers.added) == (3, 4)
    batch = callers.waiting.take(1)
    assert {passage.key: [(request, index) for request, index in passage.takers] for passage in batch} == {
        b"a": [(first, 0)],
        b"b": [(first, 1), (second, 0)],
        b"c": [(second, 1)],
    }


def test_a_text_that_runs_is_queued_again(callers: Callers) -> None:
    callers.ask(4, keys="a")
    callers.waiting.take(1)
    callers.ask(4, keys="a")
    assert len(callers.waiting) == 1


def test_whoever_comes_first_with_a_shared_text_it_gets_the_earlier_turn(callers: Callers) -> None:
    """The last text of a long request is the only one of a short request: it does not wait for all before it."""
    callers.ask(*[4] * 40, keys="".join(map(chr, range(40, 80))))
    callers.waiting.take(1)
    short = callers.ask(4, keys=chr(79))
    assert [short in batch for batch in callers.served()].index(True) <= 1
    assert len(callers.waiting) == 0


def test_bulk_does_not_hold_up_an_equal_online_text(callers: Callers) -> None:
    callers.ask(4, keys="a", priority=Priority.BULK)
    online = callers.ask(4, keys="a")
    assert callers.served()[0] == {online}


def test_what_all_takers_have_left_is_not_run(callers: Callers) -> None:
    left, stays = callers.ask(4, 4, keys="ab"), callers.ask(4, keys="b")
    callers.waiting.drop(left)
    assert len(callers.waiting) == 1
    assert callers.served() == [{stays}]


def test_what_is_too_late_is_not_run_and_can_be_asked_for_again(callers: Callers) -> None:
    callers.ask(4, keys="a", deadline=-math.inf)
    assert callers.waiting.take(1) == []
    assert len(callers.waiting) == 0
    again = callers.ask(4, keys="a")
    assert callers.served() == [{again}]


def test_requests_that_come_and_leave_leave_no_memory(callers: Callers) -> None:
    stays = callers.ask(4)
    for _ in range(50):
        callers.waiting.drop(callers.ask(*[4] * 200))
    lane = callers.waiting._online
    assert sum(map(len, lane._heaps.values())) <= 2 + MOST_DEAD + 200
    assert callers.served() == [{stays}]


def test_an_answer_is_what_was_waited_for(loop: asyncio.AbstractEventLoop) -> None:
    request = Callers(loop).ask(4, 4)
    for index, row in enumerate(np.eye(2, dtype=np.float32)):
        assert not request.answer.done()
        request.take(index, row)
    assert np.array_equal(request.answer.result(), np.eye(2))
