"""The library under random operations; see model.py, which also says how to see a failure again."""

from pathlib import Path

import pytest
from tests.chaos.model import OPERATIONS, RECALL, Model, small_sizes

SEEDS, OPERATIONS_EACH = (11, 12, 13, 14), 5_000


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_library_holds_and_finds_what_plain_dicts_do(seed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """20,000 operations in all."""
    with small_sizes():
        model = Model(tmp_path, seed)
        try:
            model.run(OPERATIONS_EACH)
        finally:
            model.close()
    with capsys.disabled():
        print(f"\nseed {seed}: {model.done} operations, recall {model.recall:.4f} of approximate searches")
    assert model.recall >= RECALL
    assert model.did.keys() >= OPERATIONS.keys(), "some operation never came"
    assert model.plans.keys() >= {"exact", "graph"}, "some way to search was never taken"
    assert model.plans.keys() & {"probed", "ivf"}, "no filter was ever searched approximately"
    assert sum(model.damages.values()) > 10


def test_the_model_notices_a_vector_that_is_lost(tmp_path: Path) -> None:
    """The check itself: with one item fewer in its truth the comparison fails."""
    with small_sizes():
        model = Model(tmp_path, 1)
        model.run(100)
        space = model.truth.spaces[model.truth.content or ""]
        space.vectors.pop(next(iter(space.vectors)))
        with pytest.raises(AssertionError):
            model.compare()
        model.close()
