"""No question is put to the LLM whose answer could only be late."""

import pytest

from expander.errors import LlmLate
from expander.pace import Pace
from servicekit.deadline import Deadline


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


def test_the_message_says_how_much_was_left() -> None:
    pace = Pace()
    pace.took("topics", 2.0)
    with pytest.raises(LlmLate, match=r"came 0 ms before"):
        pace.check("topics", Deadline.after_ms(-100))


def test_an_estimate_that_is_out_of_date_corrects_itself() -> None:
    pace = Pace()
    pace.took("topics", 60.0)
    refused = 0
    while not accepts(pace, 5.0):
        refused += 1
        assert refused < 100
    assert refused > 10
