"""Who is asked for next, and who is turned away."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from expander.admission import BULK_TURN, Places
from expander.errors import LlmBusy, LlmFailed, LlmLate
from expander.metrics import LlmMetrics
from servicekit.deadline import Deadline

LONG = Deadline(float("inf"))


def places(concurrency: int, queue: int) -> Places:
    return Places(concurrency, queue, LlmMetrics(CollectorRegistry()))


class Question:
    """One that holds its place until it is told to leave."""

    def __init__(self, among: Places, *, bulk: bool = False, deadline: Deadline = LONG) -> None:
        self.bulk, self._among, self._deadline = bulk, among, deadline
        self.started, self.leave = False, asyncio.Event()
        self.task = asyncio.create_task(self._ask())

    async def _ask(self) -> None:
        async with self._among.turn(self._deadline, bulk=self.bulk):
            self.started = True
            await self.leave.wait()

    @property
    def runs(self) -> bool:
        return self.started and not self.task.done()

    @property
    def waits(self) -> bool:
        return not self.started and not self.task.done()


async def settled() -> None:
    for _ in range(4):
        await asyncio.sleep(0)


async def ended(questions: list[Question]) -> None:
    for question in questions:
        question.leave.set()
        question.task.cancel()
    await asyncio.gather(*(question.task for question in questions), return_exceptions=True)


async def test_turns_come_in_order() -> None:
    among = places(1, 8)
    questions = [Question(among) for _ in range(4)]
    for question in questions:
        await settled()
        assert [each.runs for each in questions].index(True) == questions.index(question)
        question.leave.set()
    await settled()
    assert (among.running, among.waiting) == (0, 0)


async def test_what_the_queue_can_not_hold_is_turned_away_at_once() -> None:
    among = places(2, 32)
    questions = [Question(among) for _ in range(40)]
    await settled()
    assert (among.running, among.waiting) == (2, 30)
    assert [type(question.task.exception()) for question in questions[32:]] == [LlmBusy] * 8
    await ended(questions)


async def test_each_lane_keeps_a_part_of_the_queue_that_the_other_can_not_fill() -> None:
    among = places(1, 32)
    questions = [Question(among)]
    await settled()
    questions += [Question(among, bulk=True) for _ in range(20)]
    questions += [Question(among) for _ in range(40)]
    await settled()
    waiting = [sum(question.waits for question in questions if question.bulk is bulk) for bulk in (True, False)]
    assert waiting == [16, 16]
    await ended(questions)
    questions = [Question(among) for _ in range(60)] + [Question(among, bulk=True) for _ in range(20)]
    await settled()
    assert sum(question.waits for question in questions if question.bulk) == 2
    await ended(questions)


async def test_without_a_queue_nobody_waits() -> None:
    among = places(1, 0)
    questions = [Question(among), Question(among)]
    await settled()
    assert isinstance(questions[1].task.exception(), LlmBusy)
    await ended(questions)


async def test_live_questions_go_first_and_bulk_ones_are_not_starved() -> None:
    among = places(1, 200)
    questions = [Question(among)]
    await settled()
    questions += [Question(among, bulk=True) for _ in range(3)]
    questions += [Question(among) for _ in range(3 * BULK_TURN)]
    order = []
    for _ in range(2 * BULK_TURN + 1):
        (running,) = [question for question in questions if question.runs]
        order.append(running.bulk)
        running.leave.set()
        await settled()
    assert [at for at, bulk in enumerate(order) if bulk] == [BULK_TURN, 2 * BULK_TURN]
    await ended(questions)


async def test_bulk_questions_leave_half_of_the_places_to_live_ones() -> None:
    among = places(5, 64)
    questions = [Question(among, bulk=True) for _ in range(8)]
    await settled()
    assert sum(question.runs for question in questions) == 3
    live = [Question(among) for _ in range(2)]
    await settled()
    assert all(question.runs for question in live)
    await ended(questions + live)


async def test_who_has_waited_until_its_deadline_leaves_without_having_started() -> None:
    among = places(1, 8)
    first, second = Question(among), Question(among, deadline=Deadline.after_ms(20))
    with pytest.raises(LlmLate, match="did not come within"):
        await second.task
    assert not second.started
    assert among.waiting == 0
    expired = Question(among, deadline=Deadline.after_ms(-1))
    with pytest.raises(LlmLate, match="had passed"):
        await expired.task
    await ended([first])


async def test_a_place_given_in_the_moment_of_the_cancellation_is_not_lost() -> None:
    among = places(1, 8)
    first, second, third = (Question(among) for _ in range(3))
    await settled()
    first.leave.set()
    while second.waits and among.waiting == 2:  # until the place is handed over, and before the second wakes up to see
        await asyncio.sleep(0)
    assert not second.started
    second.task.cancel()
    await settled()
    assert third.runs
    assert among.running == 1
    await ended([first, second, third])
    assert among.running == 0


async def test_a_place_offered_to_one_that_was_just_cancelled_goes_to_the_next() -> None:
    among = places(1, 8)
    first, second, third = (Question(among) for _ in range(3))
    await settled()
    first.leave.set()  # it leaves before the second wakes up to see that it is cancelled
    second.task.cancel()
    await settled()
    assert first.task.exception() is None
    assert (second.task.cancelled(), third.runs, among.running, among.waiting) == (True, True, 1, 0)
    await ended([third])


async def test_a_free_place_is_taken_without_waiting_or_not_at_all() -> None:
    among = places(2, 8)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(among.turn(LONG))
        with among.free() as first, among.free() as second:
            assert (first, second, among.running) == (True, False, 2)
        assert among.running == 1
    assert among.running == 0


Operation = tuple[str, int]
OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["live", "live", "bulk", "bulk", "finish", "finish", "cancel", "expire", "cancel", "breathe"]), st.integers(0, 30)
    ),
    max_size=60,
)


@settings(deadline=None, max_examples=150)
@given(st.integers(1, 4), st.integers(0, 8), OPERATIONS)
def test_never_more_than_there_are_places_and_none_is_ever_lost(concurrency: int, queue: int, operations: list[Operation]) -> None:
    asyncio.run(_played(concurrency, queue, operations))


async def _played(concurrency: int, queue: int, operations: list[Operation]) -> None:
    among, questions = places(concurrency, queue), list[Question]()
    for what, number in operations:
        await _operate(among, questions, what, number)
        if number % 2:  # else the next comes before anybody woke up
            await settled()
            _check(among, questions, concurrency, queue)
    for question in questions:
        question.leave.set()
    await settled()
    while any(question.waits for question in questions):  # nobody is forgotten: all get their turn
        await settled()
    assert (among.running, among.waiting) == (0, 0)
    failures = [question.task.exception() for question in questions if not question.task.cancelled()]
    assert all(failure is None or isinstance(failure, LlmFailed) for failure in failures)
    whole = [Question(among) for _ in range(concurrency)]
    await settled()
    assert all(question.runs for question in whole), "a place was lost"
    await ended(whole)


async def _operate(among: Places, questions: list[Question], what: str, number: int) -> None:
    if what in ("live", "bulk"):
        questions.append(Question(among, bulk=what == "bulk", deadline=Deadline.after_ms(0.5) if number == 7 else LONG))
    elif what == "expire":
        await asyncio.sleep(0.001)
    elif found := next(_from(questions, number), None):
        found.leave.set() if what == "finish" else found.task.cancel()


def _from(questions: list[Question], number: int) -> Iterator[Question]:
    """Those that are not over, beginning anywhere."""
    at = number % len(questions) if questions else 0
    return (question for question in questions[at:] + questions[:at] if not question.task.done())


def _check(among: Places, questions: list[Question], concurrency: int, queue: int) -> None:
    running = sum(question.runs for question in questions)
    waiting = [sum(question.waits for question in questions if question.bulk is bulk) for bulk in (False, True)]
    assert running == among.running <= concurrency
    assert sum(waiting) == among.waiting <= queue
    assert not waiting[0] or running == concurrency, "somebody waits beside a free place"
    assert (
        not waiting[1]
        or running == concurrency
        or sum(question.runs and question.bulk for question in questions) == concurrency - concurrency // 2
    )
