from contextlib import ExitStack

import pytest

from retriever.admission import EACH, EACH_WHEN_PRESSED, REMEMBERED, Admission
from retriever.errors import Overloaded

THREADS = 3


def test_as_many_are_admitted_as_find_their_turn_soon_and_more_once_one_is_done() -> None:
    admission, held = Admission(THREADS), ExitStack()
    for _ in range(EACH * THREADS):
        assert admission.too_many() is None
        held.enter_context(admission.admitted())
    assert f"{EACH * THREADS} searches" in (admission.too_many() or "")
    with pytest.raises(Overloaded), admission.admitted():
        pass
    held.close()
    assert admission.too_many() is None


def test_those_that_are_coming_count() -> None:
    admission = Admission(THREADS)
    assert admission.too_many(EACH * THREADS - 1) is None
    assert admission.too_many(EACH * THREADS) is not None


def test_the_queue_is_shorter_while_most_are_refused_and_as_long_as_before_afterwards() -> None:
    admission, between = Admission(THREADS), EACH_WHEN_PRESSED * THREADS
    assert admission.too_many(between) is None
    for _ in range(REMEMBERED):
        admission.too_many(EACH * THREADS)
    assert admission.too_many(between) is not None
    for _ in range(REMEMBERED):
        admission.too_many(0)
    assert admission.too_many(between) is None
