import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import ladder
from gateway.app import build
from gateway.errors import LadderInvalid
from gateway.settings import Settings

POPULAR, CONTENT = {"popular": 1.0}, {"content": 1.0, "popular": 0.15}
CLICKS, MANY = {"collaborative": 1.0, "similar": 0.2}, {"collaborative": 1.0}
STEPS = (
    {"touched": 0, "interest": False, "weights": POPULAR},
    {"touched": 0, "interest": True, "weights": CONTENT},
    {"touched": 1, "interest": False, "weights": CLICKS},
    {"touched": 5, "interest": False, "weights": MANY},
)


def written(folder: Path, **changes: Any) -> Path:
    path = folder / "ladder.json"
    path.write_text(json.dumps({"version": 1, "provenance": {}, "interest_weight": 0.7, "steps": STEPS, **changes}))
    return path


def test_the_largest_step_not_above_what_is_known_counts(tmp_path: Path) -> None:
    read = ladder.load(written(tmp_path))
    assert [dict(read.weights(touched, False)) for touched in (0, 1, 4, 5, 500)] == [POPULAR, CLICKS, CLICKS, MANY, MANY]
    assert read.weights(0, True) == CONTENT


def test_neither_clicks_nor_an_interest_are_ignored_where_both_were_not_measured_together(tmp_path: Path) -> None:
    read = ladder.load(written(tmp_path))
    assert read.weights(2, True) == {**CLICKS, "content": 1.0}
    both = (*STEPS, {"touched": 5, "interest": True, "weights": {"collaborative": 1, "content": 0.3}})
    assert ladder.load(written(tmp_path, steps=both)).weights(6, True) == {"collaborative": 1, "content": 0.3}


@given(touched=st.integers(0, 10**6), interest=st.booleans())
def test_the_packaged_ladder_has_an_answer_to_any_evidence(touched: int, interest: bool) -> None:
    weights = ladder.load(None).weights(touched, interest)
    assert any(weight > 0 for weight in weights.values())


def test_another_content_has_another_hash(tmp_path: Path) -> None:
    first, second = ladder.load(written(tmp_path)).hash, ladder.load(written(tmp_path, interest_weight=0.5)).hash
    assert first != second


@pytest.mark.parametrize(
    ("changes", "telling"),
    [
        ({"version": 2}, "version"),
        ({"interest_weight": 0}, "interest_weight"),
        ({"steps": []}, "steps"),
        ({"steps": STEPS[1:]}, "(0, False)"),
        ({"steps": (STEPS[0], *STEPS[2:])}, "(0, True)"),
        ({"steps": (*STEPS, STEPS[2])}, "twice"),
        ({"steps": ({**STEPS[0], "weights": {"content": 1}}, *STEPS[1:])}, "popular 0"),
        ({"steps": (*STEPS, {"touched": 9, "interest": False, "weights": {"popular": 0}})}, "all weights are 0"),
        ({"steps": (*STEPS, {"touched": 9, "interest": False, "weights": {"taste": 1}})}, "taste"),
        ({"steps": (*STEPS, {"touched": 9, "interest": False, "weights": {"popular": -1}})}, "popular"),
    ],
)
def test_an_artefact_that_can_not_be_used_is_refused_with_the_place(tmp_path: Path, changes: Any, telling: str) -> None:
    with pytest.raises(LadderInvalid) as refused:
        ladder.load(written(tmp_path, **changes))
    assert telling in str(refused.value)
    assert str(tmp_path) in str(refused.value)


def test_the_gateway_does_not_start_with_a_missing_artefact_and_says_which(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"absent\.json can not be read.*GATEWAY_LADDER_PATH"):
        build(Settings(ladder_path=tmp_path / "absent.json"))
