"""Only finite rows of unit length are usable."""

import numpy as np

from encoder.canary import unusable


def test_rows_that_are_not_finite_or_not_unit_length_are_found() -> None:
    rows = np.array([[1, 0], [0.6, 0.8], [np.nan, 1], [np.inf, 0], [0, 0], [0.9, 0], [3e38, 3e38]], np.float32)
    assert unusable(rows).tolist() == [False, False, True, True, True, True, True]
