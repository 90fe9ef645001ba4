import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap

from retriever.bitmaps import bits_of, of_ascending, of_bools, of_chosen, of_numbers, rows_of

STRETCHES = st.lists(st.tuples(st.integers(0, 6 * 65_536), st.integers(1, 70_000), st.sampled_from([1, 2, 3, 17, 1_000])), max_size=6)
"""Start, length and step: dense ones become runs, every second number a container of bits, sparse ones a list."""


def bitmap_of(stretches: list[tuple[int, int, int]], *, runs: bool) -> BitMap:
    bitmap = BitMap()
    for start, length, step in stretches:
        bitmap.update(range(start, start + length, step))
    if runs:
        bitmap.run_optimize()
    return bitmap


def places(packed: np.ndarray) -> list[int]:
    return np.flatnonzero(np.unpackbits(packed, bitorder="little")).tolist()


@given(STRETCHES, st.booleans())
def test_the_bits_are_those_of_the_bitmap_whatever_its_containers(stretches: list[tuple[int, int, int]], runs: bool) -> None:
    bitmap = bitmap_of(stretches, runs=runs)
    assert places(bits_of(bitmap)) == list(bitmap)
    assert rows_of(bitmap).tolist() == list(bitmap)


@given(STRETCHES)
def test_a_bitmap_of_bools_holds_their_true_places(stretches: list[tuple[int, int, int]]) -> None:
    wanted = bitmap_of(stretches, runs=False)
    bools = np.zeros(max(wanted, default=0) + 1, np.bool_)
    bools[rows_of(wanted)] = True
    assert of_bools(bools) == wanted


@given(st.integers(0, 30_000), st.sampled_from([1, 50, 1_000, 140_000]), st.integers(0, 9))
def test_a_bitmap_of_numbers_does_not_depend_on_their_order_or_distance(count: int, apart: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    numbers = rng.permutation(np.unique(rng.integers(0, count * apart + 1, count)).astype(np.uint32))
    bitmap = of_numbers(numbers)
    assert rows_of(bitmap).tolist() == sorted(numbers.tolist())
    assert of_ascending(np.sort(numbers)) == bitmap
    chosen = rng.random(len(numbers)) < 0.5
    assert of_chosen(numbers.astype(np.int64), chosen) == of_numbers(numbers[chosen])


@pytest.mark.parametrize("numbers", [[], [0], [2**32 - 1], [65_535, 65_536], [7, 7, 3]])
def test_few_numbers_stay_what_they_are(numbers: list[int]) -> None:
    assert rows_of(of_numbers(np.array(numbers, np.int64))).tolist() == sorted(set(numbers))


@pytest.mark.parametrize("containers", [1, 3, 4, 5, 9])
def test_full_containers_are_read_with_and_without_offsets(containers: int) -> None:
    bitmap = BitMap(range(containers * 65_536))
    bitmap.run_optimize()
    assert (bits_of(bitmap) == 255).all()
    assert len(bits_of(bitmap)) == containers * 8_192
