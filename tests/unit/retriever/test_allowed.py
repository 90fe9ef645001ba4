import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap

from retriever.allowed import Allowed

NUMBERS = st.sets(st.integers(0, 300) | st.integers(0, 200_000) | st.integers(2**20, 2**20 + 100), max_size=200)


@given(NUMBERS, st.integers(0, 70_000))
def test_every_form_says_the_same(numbers: set[int], count: int) -> None:
    allowed = Allowed(BitMap(numbers))
    assert allowed.count == len(numbers)
    assert allowed.rows().tolist() == sorted(numbers)
    assert np.flatnonzero(np.unpackbits(allowed.bits(), bitorder="little")).tolist() == sorted(numbers)
    bools = allowed.bools(count)
    assert (len(bools), np.flatnonzero(bools).tolist()) == (count, sorted(one for one in numbers if one < count))


@given(NUMBERS, st.lists(st.integers(-1, 70_000), max_size=30))
def test_asking_for_numbers_is_asking_for_each(numbers: set[int], asked: list[int]) -> None:
    asked += [one + shift for one in list(numbers)[:20] for shift in (-1, 0, 1)]
    allowed, expected = Allowed(BitMap(numbers)), [one in numbers for one in asked]
    assert allowed.has(np.array(asked, np.int64)).tolist() == expected
    assert allowed.has(np.array(asked * 20, np.int64)).tolist() == expected * 20
    assert allowed.bits() is not None
    assert allowed.has(np.array(asked, np.int64)).tolist() == expected  # by other ways than the first time


@given(NUMBERS, st.integers(1, 90), st.integers(0, 90))
def test_every_so_many_is_a_slice_of_all(numbers: set[int], step: int, first: int) -> None:
    assert Allowed(BitMap(numbers)).every(step, first).tolist() == sorted(numbers)[first::step]


@pytest.mark.parametrize("numbers", [range(10), [], [5, 10**9]])
def test_no_item_is_never_allowed_and_the_shape_stays(numbers: list[int]) -> None:
    found = Allowed(BitMap(numbers)).has(np.array([[-1, 5], [-1, -1]]))
    assert found.tolist() == [[False, 5 in numbers], [False, False]]


def test_what_is_given_out_can_not_be_changed() -> None:
    allowed = Allowed(BitMap(range(100)))
    for form in (allowed.rows(), allowed.bits()):
        with pytest.raises(ValueError, match="read-only"):
            form[0] = 1
