"""Choosing weights."""

import numpy as np

from pipelines.evaluate import tuning
from pipelines.evaluate.served import SOURCES, Candidates
from pipelines.evaluate.tuning import Case


def case(helpful: str, random: np.random.Generator) -> Case:
    """Fifty candidates of which ten are targets that only `helpful` sees."""
    scores = random.normal(size=(50, len(SOURCES))).astype(np.float32)
    scores[:10, SOURCES.index(helpful)] += 3
    ids = tuple(map(str, range(50)))
    return Case.of(Candidates(ids, scores), frozenset(ids[:10]))


def test_a_source_that_helps_gets_weight_and_one_that_does_not_gets_none() -> None:
    random = np.random.default_rng(9)
    weights, recall = tuning.choose([case("similar", random) for _ in range(60)], "collaborative", ("similar", "popular"))
    assert weights["similar"] > 1
    assert weights.get("popular", 0.0) < weights["similar"] / 4
    assert recall > 0.9


def test_of_settings_that_are_as_good_the_middle_is_chosen() -> None:
    scores = np.zeros((40, len(SOURCES)), np.float32)
    scores[:20, [SOURCES.index("collaborative"), SOURCES.index("similar")]] = 1  # every weight of similar gives the same order
    found = Candidates(tuple(map(str, range(40))), scores)
    weights, recall = tuning.choose([Case.of(found, {"0", "1"})], "collaborative", ("similar",))
    assert (weights, recall) == ({"collaborative": 1.0, "similar": round(float(np.mean(tuning.GRID)), 2)}, 1.0)


def test_a_source_that_misleads_gets_no_weight() -> None:
    random = np.random.default_rng(10)
    misled = []
    for _ in range(60):
        scores = random.normal(size=(50, len(SOURCES))).astype(np.float32)
        scores[:10, SOURCES.index("collaborative")] += 1.5
        scores[:10, SOURCES.index("popular")] -= 3
        misled.append(Case.of(Candidates(tuple(map(str, range(50))), scores), frozenset(map(str, range(10)))))
    assert "popular" not in tuning.choose(misled, "collaborative", ("popular",))[0]


def test_recall_counts_the_targets_among_the_first_twenty() -> None:
    scores = np.zeros((30, len(SOURCES)), np.float32)
    scores[:, 0] = -np.arange(30)
    found = Candidates(tuple(map(str, range(30))), scores)
    assert tuning.recall_at([Case.of(found, {"0", "19", "20", "29"})], [1, 0, 0, 0]) == 0.5
