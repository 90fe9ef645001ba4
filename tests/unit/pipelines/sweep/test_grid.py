"""A grid is every combination once, and what can not be measured is refused with its name and the remedy."""

import pytest

from pipelines.sweep.faults import SweepRefused
from pipelines.sweep.grid import Load, Pace, loads


def test_a_grid_is_every_combination_once() -> None:
    assert loads([1, 4, 1], [64, 128], Pace()) == (Load(1, 64), Load(4, 64), Load(1, 128), Load(4, 128))


@pytest.mark.parametrize(
    ("callers", "lengths", "pace", "reason"),
    [
        ([0], [8], Pace(), r"--concurrency 0 must be 1 or more"),
        ([1], [-8], Pace(), r"--prompt-tokens -8 must be 1 or more"),
        ([1], [8], Pace(output_tokens=0), r"--output-tokens 0 must be 1 or more"),
        ([1], [8], Pace(warmup=-1), r"--warmup -1 must be 0 or more"),
        ([1], [8], Pace(timeout_s=0), r"--timeout-s 0 must be a number of seconds above 0"),
        ([1], [8], Pace(requests=None, seconds=float("nan")), r"--seconds nan must be"),
        ([1, 64], [8], Pace(requests=32), r"--requests 32 is below --concurrency 64.* Give 64 or more"),
    ],
)
def test_a_load_that_can_not_be_measured_is_refused(callers: list[int], lengths: list[int], pace: Pace, reason: str) -> None:
    with pytest.raises(SweepRefused, match=reason):
        loads(callers, lengths, pace)
