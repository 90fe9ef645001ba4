"""The benchmark's soak for some seconds instead of ten minutes: nothing grows from request to request, and nothing is answered 500."""

from pathlib import Path

import pytest
from tests.bench.encoder_models import Model
from tests.bench.encoder_soak import measure, risen

SECONDS = 12.0
MIB = 2**20


@pytest.mark.timed
def test_memory_is_flat_and_no_caller_harms_another(tmp_path: Path) -> None:
    told = measure(Model("hashing", {"backend": "hashing"}, tmp_path), tmp_path, SECONDS)
    assert told["alive"]
    assert told["flat"], told
    assert {"200", "422", "left before the answer"} <= set(told["statuses"])
    assert set(told["statuses"]) <= {"200", "400", "413", "422", "429", "504", "left before the answer"}, told["statuses"]


def test_a_leak_is_seen_and_a_beginning_is_not() -> None:
    samples = [{"at": float(at), "anonymous": min(at, 30) * MIB + 100 * MIB} for at in range(100)]
    assert risen(samples)[0] == pytest.approx(0, abs=MIB / 4)
    leaking = [{"at": float(at), "anonymous": 100 * MIB + at * MIB / 2} for at in range(100)]
    assert risen(leaking)[0] == pytest.approx(35 * MIB, rel=0.05)
