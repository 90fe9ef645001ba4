from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from retriever.attributes.places import PAGE, Places

NUMBERS = st.integers(0, 3 * PAGE) | st.sampled_from([PAGE - 1, PAGE, 2**32 - 1])


@given(st.lists(st.lists(NUMBERS, max_size=20), max_size=8))
def test_every_row_is_told_the_one_before_as_a_dict_would(batches: Sequence[Sequence[int]]) -> None:
    places, known, row = Places(), dict[int, int](), 0
    for numbers in batches:
        expected = []
        for number in numbers:
            expected.append(known.get(number, -1))
            known[number] = row + len(expected) - 1
        rows = np.arange(row, row + len(numbers))
        assert places.replace(np.array(numbers, np.int64), rows).tolist() == expected
        row += len(numbers)
