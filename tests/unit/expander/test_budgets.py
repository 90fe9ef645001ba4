"""Tokens in a minute, of all and of each caller; second calls as a share of the first."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expander import budgets
from expander.budgets import RETRIES_AT_ONCE, RetryBudget, TokenBudget
from expander.errors import LlmOverBudget


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_what_is_spent_comes_back_with_time(clock: Clock) -> None:
    budget = TokenBudget(600, 0, clock)
    budget.reserve("a", 600)
    with pytest.raises(LlmOverBudget, match="600 tokens in a minute of all callers are spent") as refused:
        budget.reserve("b", 100)
    assert refused.value.retry_after_s == pytest.approx(10)
    clock.now += 9.9
    with pytest.raises(LlmOverBudget):
        budget.reserve("b", 100)
    clock.now += 0.2
    budget.reserve("b", 100)


def test_a_quiet_hour_saves_up_no_more_than_a_minute(clock: Clock) -> None:
    budget = TokenBudget(600, 0, clock)
    clock.now += 3_600
    budget.reserve("a", 600)
    with pytest.raises(LlmOverBudget):
        budget.reserve("a", 1)


def test_what_was_not_used_goes_back_and_what_was_used_beyond_is_taken(clock: Clock) -> None:
    budget = TokenBudget(600, 0, clock)
    reserved = budget.reserve("a", 500)
    reserved.settle(200)
    reserved.settle(0)  # the second says nothing any more
    budget.reserve("a", 400).settle(700)
    with pytest.raises(LlmOverBudget) as refused:
        budget.reserve("a", 10)
    assert refused.value.retry_after_s == pytest.approx(31)  # 300 are owed


def test_one_caller_does_not_spend_what_is_anothers(clock: Clock) -> None:
    budget = TokenBudget(1_000, 100, clock)
    budget.reserve("a", 100)
    with pytest.raises(LlmOverBudget, match="100 tokens in a minute of this caller"):
        budget.reserve("a", 1)
    budget.reserve("b", 100)


def test_a_refused_question_takes_nothing(clock: Clock) -> None:
    budget = TokenBudget(150, 100, clock)
    budget.reserve("a", 100)
    for _ in range(3):
        with pytest.raises(LlmOverBudget):
            budget.reserve("b", 60)
    budget.reserve("b", 50)


def test_a_question_larger_than_the_budget_passes_when_that_is_full_and_is_paid_for_later(clock: Clock) -> None:
    budget = TokenBudget(60, 0, clock)
    budget.reserve("a", 180)
    clock.now += 120
    with pytest.raises(LlmOverBudget):
        budget.reserve("a", 180)
    clock.now += 60
    budget.reserve("a", 180)


def test_without_limits_nothing_is_refused_nor_remembered(clock: Clock) -> None:
    budget = TokenBudget(0, 0, clock)
    for number in range(100):
        budget.reserve(str(number), 10**9)
    assert len(budget) == 0


def test_no_more_callers_are_remembered_than_may_be(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budgets, "MAX_CALLERS", 3)
    budget = TokenBudget(0, 100, clock)
    for caller in "abcad":  # `b` was not seen for longest
        budget.reserve(caller, 50)
    assert len(budget) == 3
    with pytest.raises(LlmOverBudget):
        budget.reserve("a", 1)
    budget.reserve("b", 100)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 80), st.integers(0, 80), st.floats(0, 5)), max_size=80))
def test_within_any_time_no_more_is_used_than_flows_in_and_was_full_at_the_start(asked: list[tuple[str, int, int, float]]) -> None:
    clock = Clock()
    budget, spent, spent_by = TokenBudget(120, 60, clock), 0, dict.fromkeys("abc", 0)
    for caller, estimate, used, passed_s in asked:
        clock.now += passed_s
        try:
            budget.reserve(caller, estimate).settle(used)
        except LlmOverBudget:
            continue
        spent += used
        spent_by[caller] += used
        flowed_in = (clock.now - 1_000) / 60
        assert spent <= 120 + 120 * flowed_in + 80 + 1e-6  # 80: one answer may be longer than was reserved
        assert spent_by[caller] <= 60 + 60 * flowed_in + 80 + 1e-6


@given(st.floats(0, 1), st.lists(st.booleans(), max_size=300))
def test_second_calls_are_never_more_than_their_share_and_ten(share: float, wants: list[bool]) -> None:
    retries, taken = RetryBudget(share), 0
    for first_calls, wanted in enumerate(wants, 1):
        retries.first_call()
        taken += wanted and retries.take()
        assert taken <= share * first_calls + (RETRIES_AT_ONCE if share else 0) + 1e-9


def test_a_lone_bad_answer_is_asked_for_again_and_a_share_of_none_means_never() -> None:
    assert RetryBudget(0.01).take()
    nothing = RetryBudget(0.0)
    nothing.first_call()
    assert not nothing.take()


def test_good_times_save_up_no_more_than_ten_second_calls() -> None:
    retries = RetryBudget(1.0)
    for _ in range(1_000):
        retries.first_call()
    assert [retries.take() for _ in range(11)] == [True] * 10 + [False]
