import numpy as np
import pytest

from retriever.loans import NOBODY, Loans
from retriever.popular import Popular
from retriever.spaces import Scores, Upload

UPLOAD = Upload(("a", "b", "gone"), 3, Scores(np.array([4.0, 8.0, 1.0])))
LIVE = np.ones(4, np.bool_)


def test_an_item_without_a_score_has_the_lowest_that_was_uploaded() -> None:
    popular = Popular.over(UPLOAD, list(enumerate("abcd")), LIVE, None)
    assert popular
    assert popular.scores.tolist() == [4.0, 8.0, 1.0, 1.0]


def test_an_item_that_nobody_has_touched_has_the_mean_of_its_lenders() -> None:
    loans = Loans(np.array([2, 3]), np.array([[0, 1], [NOBODY, NOBODY]], np.int32), np.zeros(2, np.float32))
    popular = Popular.over(UPLOAD, list(enumerate("abcd")), LIVE, loans)
    assert popular
    assert popular.scores.tolist() == [4.0, 8.0, 6.0, 1.0]
    assert popular.spread.mean == pytest.approx(4.75)


def test_an_uploaded_score_is_kept_by_an_item_that_borrows_elsewhere() -> None:
    loans = Loans(np.array([0]), np.array([[1]], np.int32), np.zeros(1, np.float32))
    popular = Popular.over(UPLOAD, list(enumerate("ab")), LIVE[:2], loans)
    assert popular
    assert popular.scores.tolist() == [4.0, 8.0]


def test_a_dead_row_does_not_count_in_the_spread() -> None:
    popular = Popular.over(UPLOAD, list(enumerate("ab")), np.array([True, False]), None)
    assert popular
    assert (popular.spread.mean, popular.spread.std) == (4.0, 0.0)
