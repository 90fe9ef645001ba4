"""What users are taken to type, and how much weight topics get beside it."""

import pytest

from pipelines import labels, sample
from pipelines.evaluate import ladder
from pipelines.evaluate.interests import Interests, sentences
from pipelines.evaluate.report import markdown


@pytest.fixture(scope="module")
def interests() -> Interests:
    return Interests({item["id"]: item for item in sample.items()})


@pytest.fixture(scope="module")
def subjects() -> set[str]:
    counts: dict[str, int] = {}
    for item in sample.items():
        for tag in item["attributes"].get("genres", ()):
            counts[tag] = counts.get(tag, 0) + 1
    return {topic.label for topic in labels.merged(counts).values()}


def test_every_sentence_is_for_a_subject_of_the_catalogue_and_does_not_name_it(subjects: set[str]) -> None:
    for subject, sentence in sentences().items():
        assert subject in subjects
        assert subject.lower() not in sentence.lower()


def test_both_ways_to_say_an_interest_have_the_same_targets(interests: Interests) -> None:
    shelf = [item["id"] for item in sample.items()][:400]
    stated, said = interests.stated(shelf), interests.said(shelf)
    assert stated is not None
    assert said == (sentences()[stated[0]], stated[1])


def test_who_shares_no_rare_subject_states_nothing(interests: Interests) -> None:
    assert interests.stated(["1"]) is None
    assert interests.said(["1"]) is None


def test_topics_get_what_helps_a_reader_and_costs_nobody() -> None:
    assert ladder.least_harmful({1.0: [0.40, 0.20], 0.8: [0.399, 0.24], 0.5: [0.38, 0.30]}) == 0.8


def test_topics_that_never_help_get_no_weight() -> None:
    assert ladder.least_harmful({1.0: [0.40, 0.20], 0.8: [0.40, 0.20], 0.5: [0.41, 0.19]}) == 1.0


def test_the_page_tells_how_the_weight_was_chosen() -> None:
    told = {"steps": [], "interest_weight": 0.75, "provenance": {"interest_weights": {"1.0": [0.4, 0.2], "0.75": [0.39, 0.25]}}}
    page = markdown([], {}, told, "ours", "control")
    assert "keeps 0.75 of the content query" in page
    assert "| 0.75 | 0.3900 | 0.2500 |" in page
