"""Batches go into the cheapest compiled shape that holds them, and around what fails or hangs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoder.backends.neuron_buckets import ASIDE_S, HUNG_S, Bucket, Place, Places, grid, ladder_of, parse
from encoder.backends.protocol import batches

BUCKETS = grid((1, 8), (32, 128))


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def taken(places: Places, rows: int, longest: int, tried: tuple[Place, ...] = ()) -> Place:
    run = places.take(rows, longest, tried)
    assert run is not None
    return run.place


def test_a_grid_has_every_number_of_rows_with_every_length_once() -> None:
    assert [bucket.name for bucket in grid((8, 1, 8), (128, 32))] == ["1x32", "8x32", "1x128", "8x128"]


def test_a_name_is_read_back() -> None:
    assert [parse(bucket.name) for bucket in BUCKETS] == list(BUCKETS)


@pytest.mark.parametrize("name", ["", "8", "8x", "x8", "8x08", "0x8", "8x-1", "8x8x8", "../8x8"])
def test_what_is_no_bucket_is_refused(name: str) -> None:
    with pytest.raises(ValueError):
        parse(name)


@pytest.mark.parametrize(
    ("rows", "longest", "bucket"),
    [(1, 1, "1x32"), (1, 32, "1x32"), (1, 33, "1x128"), (2, 5, "8x32"), (8, 128, "8x128"), (9, 32, "8x32"), (500, 100, "8x128")],
)
def test_the_cheapest_bucket_that_holds_the_batch_is_taken_else_the_one_that_holds_most(rows: int, longest: int, bucket: str) -> None:
    assert taken(Places(BUCKETS, 1), rows, longest).bucket.name == bucket


def test_a_passage_longer_than_every_bucket_has_no_place() -> None:
    assert Places(BUCKETS, 2).take(1, 129, ()) is None


@given(st.lists(st.integers(1, 128), max_size=40), st.sets(st.integers(1, 16), min_size=1, max_size=3))
def test_every_batch_of_the_ladder_fits_one_bucket(lengths: list[int], rows: set[int]) -> None:
    buckets = grid(rows, (16, 64, 128))
    found = batches(lengths, ladder_of(buckets, 2))
    assert sorted(index for batch in found for index in batch) == list(range(len(lengths)))
    for batch in found:
        longest = max(lengths[index] for index in batch)
        bucket = taken(Places(buckets, 1), len(batch), longest).bucket
        assert bucket.rows >= len(batch)
        assert bucket.length == min(length for length in (16, 64, 128) if length >= longest)


def test_as_many_batches_are_asked_for_at_once_as_there_are_cores() -> None:
    assert [ladder_of(BUCKETS, cores).runs for cores in (1, 2, 32)] == [1, 2, 32]


def test_the_core_with_the_least_to_do_is_taken() -> None:
    places = Places(BUCKETS, 3)
    assert [taken(places, 1, 8).core for _ in range(6)] == [0, 1, 2, 0, 1, 2]


def test_what_was_given_back_is_taken_again() -> None:
    places = Places(BUCKETS, 2)
    first = places.take(1, 8, ())
    assert first is not None
    assert taken(places, 1, 8).core == 1
    places.give_back(first)
    assert taken(places, 1, 8).core == 0


def test_another_core_stands_in_for_a_place_that_failed_and_then_a_larger_bucket() -> None:
    places = Places(BUCKETS, 2)
    tried: list[Place] = []
    for _ in range(4):
        tried.append(taken(places, 1, 8, tuple(tried)))
    assert [(place.bucket.name, place.core) for place in tried] == [("1x32", 0), ("1x32", 1), ("1x128", 0), ("1x128", 1)]


def test_a_place_that_was_set_aside_is_tried_again_after_a_while() -> None:
    clock = Clock()
    places = Places((Bucket(1, 32), Bucket(8, 32)), 1, clock)
    places.set_aside([Place(Bucket(1, 32), 0)])
    run = places.take(1, 8, ())
    assert run is not None
    assert run.place.bucket.rows == 8
    places.give_back(run)
    clock.now += ASIDE_S
    assert taken(places, 1, 8).bucket.rows == 1


def test_smaller_buckets_stand_in_where_the_large_one_was_set_aside() -> None:
    places = Places((Bucket(1, 32), Bucket(8, 32)), 1, Clock())
    places.set_aside([Place(Bucket(8, 32), 0)])
    assert taken(places, 5, 8).bucket.rows == 1


def test_a_core_whose_run_does_not_come_back_gets_no_more_until_it_does() -> None:
    clock = Clock()
    places = Places(BUCKETS, 2, clock)
    hung = places.take(1, 8, ())
    assert hung is not None
    clock.now += HUNG_S
    assert {taken(places, 1, 8).core for _ in range(5)} == {1}
    places.give_back(hung)
    assert taken(places, 1, 8).core == 0


def test_nothing_is_left_when_every_core_hangs() -> None:
    clock = Clock()
    places = Places(BUCKETS, 1, clock)
    assert places.take(1, 8, ()) is not None
    clock.now += HUNG_S
    assert places.take(1, 8, ()) is None
