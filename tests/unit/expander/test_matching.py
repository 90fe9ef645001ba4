"""Which topics an interest gets from the catalogue."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.expander.conftest import NUMBER

from expander import matching
from expander.artefact import Topics, load


@pytest.fixture
def topics(artefact: Path) -> Topics:
    return load(artefact)


@pytest.mark.parametrize("nonsense", ["asdfgh", "!!!", "the and of", "fiction", "\u9f8d"])
def test_what_the_catalogue_does_not_know_gets_no_topics(topics: Topics, nonsense: str) -> None:
    assert matching.propose(topics, nonsense, 5) == ()


def test_every_part_of_an_interest_is_heard(topics: Topics) -> None:
    proposed = matching.propose(topics, "space opera with political intrigue", 5)
    assert {"aliens", "political thriller"} <= set(proposed[:3])


@pytest.mark.parametrize("spelling", ["cosy mysteries", "Cosy Mystery!", "mystery, but cosy"])
def test_a_topic_is_found_in_any_spelling_and_order(topics: Topics, spelling: str) -> None:
    assert "murder mystery" in matching.propose(topics, spelling, 5)


@pytest.mark.parametrize("interest", ["Science Fiction", "scifi", "vampires"])
def test_what_the_interest_names_as_a_whole_is_not_proposed_back(topics: Topics, interest: str) -> None:
    proposed = matching.propose(topics, interest, 5)
    assert proposed
    assert not {"science fiction", "vampire fiction"} & set(proposed)


def test_a_topic_on_most_items_is_never_proposed(topics: Topics) -> None:
    assert "fiction of all kinds" not in matching.propose(topics, "space", 5)


def test_an_author_leads_to_what_their_books_are_about(topics: Topics) -> None:
    assert matching.propose(topics, "books like Agatha Christie", 5) == ("murder mystery",)


def test_a_weak_hint_of_a_title_word_is_not_enough(topics: Topics) -> None:
    assert matching.propose(topics, "cats", 5) == ()


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    words=st.lists(st.sampled_from([*NUMBER, "with", "political", "agatha", "sci fi", "thriller", "mystery", "romance"]), max_size=60),
    most=st.integers(1, 5),
)
def test_proposals_are_few_known_and_no_repeats_of_each_other(topics: Topics, words: list[str], most: int) -> None:
    proposed = matching.propose(topics, " ".join(words), most)
    tokens = [topics.tokens[NUMBER[label]] for label in proposed]
    assert len(proposed) <= most
    assert all(not (one <= other or other <= one) for at, one in enumerate(tokens) for other in tokens[:at])
