"""The library under random operations; see model.py, which also says how to see a failure again."""

from pathlib import Path

import pytest
from tests.chaos import reading
from tests.chaos.model import OPERATIONS, run
from tests.chaos.sizes import small_sizes
from tests.chaos.trial import Trial

RECALL = 0.95
SEEDS, OPERATIONS_EACH = (11, 12, 13, 14), 5_000


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_library_holds_and_finds_what_plain_dicts_do(seed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """20,000 operations in all."""
    with small_sizes():
        trial = Trial(tmp_path, seed)
        try:
            run(trial, OPERATIONS_EACH)
        finally:
            trial.close()
    with capsys.disabled():
        print(f"\nseed {seed}: {trial.done} operations, recall {trial.recall:.4f} of approximate searches")
    assert trial.done == OPERATIONS_EACH
    assert trial.recall >= RECALL
    assert trial.did.keys() >= OPERATIONS.keys(), "some operation never came"
    assert trial.plans.keys() >= {"exact", "graph"}, "some way to search was never taken"
    assert trial.plans.keys() & {"probed", "ivf"}, "no filter was ever searched approximately"
    assert sum(trial.damages.values()) > 10


def test_the_model_notices_a_vector_that_is_lost(tmp_path: Path) -> None:
    """The check itself: with one item fewer in its truth the comparison fails."""
    with small_sizes():
        trial = Trial(tmp_path, 1)
        run(trial, 100)
        space = trial.truth.spaces[trial.truth.content or ""]
        space.vectors.pop(next(iter(space.vectors)))
        with pytest.raises(AssertionError):
            reading.compare(trial)
        trial.close()
