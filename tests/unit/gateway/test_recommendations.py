from hypothesis import given
from hypothesis import strategies as st

from gateway.candidates import Candidate
from gateway.recommendations import relevances


@given(scores=st.lists(st.floats(-1e6, 1e6), max_size=30))
def test_relevance_is_one_for_the_best_and_falls_and_stays_above_zero(scores: list[float]) -> None:
    ordered = [Candidate(str(place), "", {}, score, {}) for place, score in enumerate(sorted(scores, reverse=True))]
    shown = relevances(ordered)
    assert len(shown) == len(scores)
    assert shown == sorted(shown, reverse=True)
    assert all(0 < value <= 1 for value in shown)
    assert shown[:1] == [1.0][: len(shown)]
