"""No question is put to the LLM whose answer could only be late."""

import pytest

from expander.errors import LlmLate
from expander.pace import CONFIRMED, Pace
from servicekit.deadline import Deadline


class Clock:
    """Seconds that pass when the test says so."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def accepts(pace: Pace, left_s: float, kind: str = "topics") -> bool:
    try:
        pace.check(kind, Deadline.after_ms(left_s * 1_000))
    except LlmLate:
        return False
    return True


def test_what_can_be_answered_in_time_passes_and_the_rest_does_not() -> None:
    pace = Pace()
    assert accepts(pace, 0.001)  # nothing is known yet
    for _ in range(20):
        pace.took("topics", 2.0)
    assert not accepts(pace, 2.5)
    assert accepts(pace, 3.5)
    assert accepts(pace, 0.1, "enrichment")


def test_the_pace_follows_the_answers() -> None:
    pace = Pace()
    pace.took("topics", 1.0)
    for _ in range(10):
        pace.took("topics", 10.0)
    assert not accepts(pace, 10.0)
    for _ in range(20):
        pace.took("topics", 1.0)
    assert accepts(pace, 2.0)


def test_the_message_says_how_much_was_left() -> None:
    pace = Pace()
    pace.took("topics", 2.0)
    with pytest.raises(LlmLate, match=r"came 0 ms before"):
        pace.check("topics", Deadline.after_ms(-100))


def test_a_pace_that_no_answer_confirms_is_forgotten() -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.took("topics", 60.0)
    clock.now += CONFIRMED * 60
    assert not accepts(pace, 5.0)
    clock.now += 1
    assert accepts(pace, 5.0)
