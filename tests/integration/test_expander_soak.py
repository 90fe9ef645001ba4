"""The benchmark's soak for some seconds instead of ten minutes: nothing is left behind of what was asked, and nothing is answered 500."""

import pytest
from tests.bench.expander_soak import measure

SECONDS, RATE = 15.0, 60.0


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    return measure(tmp_path_factory.mktemp("soak"), SECONDS, RATE)


def test_no_task_file_or_thread_is_left_behind(told: dict[str, object]) -> None:
    assert told["nothing_left"], (told["begun"], told["ended"])


def test_memory_is_flat(told: dict[str, object]) -> None:
    assert told["flat"], told


def test_nothing_is_answered_with_a_failure_of_the_service(told: dict[str, dict[str, int]]) -> None:
    assert set(told["statuses"]) <= {"200", "400", "404", "422", "429"}, told["statuses"]
    assert {"200", "422"} <= set(told["statuses"])


def test_every_way_to_an_answer_was_taken(told: dict[str, dict[str, int]]) -> None:
    by = told["expansions"]
    assert {"llm, cached", "llm, proposed", "cooccurrence, pending", "cooccurrence, off", "cooccurrence, invalid"} <= set(by), by
    assert {"cooccurrence, unreachable", "cooccurrence, shut"} & set(by), by
