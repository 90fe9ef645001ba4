"""Steps of lengths, and what is run together."""

from hypothesis import given
from hypothesis import strategies as st

from encoder.backends.protocol import batches
from encoder.ladder import Ladder, geometric

LENGTHS = st.lists(st.integers(1, 300), max_size=60)


def test_a_passage_belongs_to_the_first_step_that_holds_it() -> None:
    ladder = Ladder((8, 16, 32), texts=4, positions=64)
    assert [ladder.step(tokens) for tokens in (1, 8, 9, 16, 32, 33)] == [0, 0, 1, 1, 2, 2]


def test_a_batch_is_bounded_by_texts_and_by_positions_with_padding() -> None:
    ladder = Ladder((32,), texts=4, positions=64)
    assert ladder.fits([], 1000)
    assert ladder.fits([8, 8, 8], 16)
    assert not ladder.fits([8, 8, 8], 17)
    assert not ladder.fits([1, 1, 1, 1], 1)


@given(longest=st.integers(1, 600))
def test_the_steps_of_a_geometric_ladder_ascend_to_the_longest(longest: int) -> None:
    lengths = geometric(longest, texts=8, positions=1024).lengths
    assert list(lengths) == sorted(set(lengths))
    assert lengths[-1] == longest


@given(lengths=LENGTHS)
def test_batches_hold_every_passage_once_and_keep_to_the_ladder(lengths: list[int]) -> None:
    ladder = geometric(256, texts=8, positions=1024)
    made = batches(lengths, ladder)
    assert sorted(index for batch in made for index in batch) == list(range(len(lengths)))
    for batch in made:
        own = [lengths[index] for index in batch]
        assert len({ladder.step(length) for length in own}) == 1
        assert len(batch) == 1 or (len(batch) <= 8 and len(batch) * max(own) <= 1024)


@given(lengths=st.lists(st.integers(8, 256), min_size=1, max_size=60))
def test_at_most_a_fifth_of_a_batch_is_padding(lengths: list[int]) -> None:
    """Beyond the rounding of steps to whole tokens."""
    for batch in batches(lengths, geometric(256, texts=8, positions=8192)):
        own = [lengths[index] for index in batch]
        assert sum(own) >= 0.75 * len(own) * max(own)
