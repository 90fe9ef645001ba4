import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from retriever.names import Names

NAME = st.text(min_size=1, max_size=12)
BATCH = st.lists(st.tuples(st.integers(1, 4), NAME), max_size=12)
"""Each name with how far its number is behind the one before."""


@given(st.lists(st.tuples(BATCH, st.booleans()), max_size=12))
def test_names_are_those_written_last_whatever_was_not_committed(batches: list[tuple[list[tuple[int, str]], bool]]) -> None:
    names, known, last = Names(), dict[int, str](), -1
    for batch, committed in batches:
        numbers = last + np.cumsum([gap for gap, _ in batch], dtype=np.int64)
        names.write(numbers, [name for _, name in batch])
        if committed and batch:
            known |= zip(numbers.tolist(), [name for _, name in batch], strict=True)
            last = int(numbers[-1])
        assert names.of(list(known)) == list(known.values())


def test_a_reader_finds_what_it_knows_of_while_more_is_written() -> None:
    names = Names()
    names.write(np.arange(100), [f"é{number}" for number in range(100)])
    before = names.of(range(100))
    for start in range(100, 40_000, 100):
        names.write(np.arange(start, start + 100), [str(number) for number in range(100)])
        assert names.of(range(100)) == before
    assert names.of([]) == []
