import pytest

from gateway.passages import MOST_SUBJECTS, MOST_TAGS, passage


def test_a_passage_names_genres_title_authors_and_text() -> None:
    attributes = {"authors": ["Frank Herbert", "Another"], "genres": ["science-fiction", "space"], "year": 1965}
    assert passage("Dune", attributes, " Sand. ") == "science fiction, space: Dune by Frank Herbert, Another. Sand."


def test_parts_that_an_item_does_not_have_are_left_out() -> None:
    assert passage("Dune", {}, None) == "Dune"
    assert passage("Dune", {"authors": [], "genres": "space"}, "") == "space: Dune"
    assert passage("Dune", {"genres": ["to-read", ""]}, "  ") == "Dune"


def test_a_genre_that_adds_no_word_is_left_out() -> None:
    genres = ["fantasy", "fantasy-sci-fi", "sci-fi", "sci-fi-fantasy", "ya-books", "books", "children-s", "childrens"]
    assert passage("T", {"genres": genres}, None) == "fantasy, fantasy sci fi, ya books, children s: T"


def test_values_that_are_no_words_are_written_out() -> None:
    assert passage("T", {"authors": 7, "genres": [1965]}, None) == "1965: T by 7"


def test_only_the_first_genres_are_named() -> None:
    assert passage("T", {"genres": [f"genre{number}" for number in range(50)]}, None).count(",") == MOST_SUBJECTS - 1


ENRICHED = {
    "genres": ["science-fiction"],
    "enriched_tags": ["desert planet", "science fiction", "galactic politics"],
    "enriched_description": "A young heir fights for a desert planet.",
    "enriched_by": "fake enrich-1",
}


@pytest.mark.parametrize("switch", [{}, {"enriched_embedded": False}, {"enriched_embedded": "true"}, {"enriched_embedded": 1}])
def test_what_an_llm_wrote_is_not_in_the_passage_unless_the_item_says_so(switch: dict[str, object]) -> None:
    assert passage("Dune", {**ENRICHED, **switch}, "Sand.") == "science fiction: Dune. Sand."


def test_switched_on_the_tags_follow_the_genres_and_the_description_precedes_the_text() -> None:
    said = passage("Dune", {**ENRICHED, "enriched_embedded": True}, "Sand.")
    assert said == "science fiction, desert planet, galactic politics: Dune. A young heir fights for a desert planet. Sand."


def test_tags_are_named_beside_as_many_genres_as_there_may_be() -> None:
    genres = [f"genre{number}" for number in range(50)]
    tags = [f"tag{number}" for number in range(50)]
    said = passage("T", {"genres": genres, "enriched_tags": tags, "enriched_embedded": True}, None)
    assert said.count(",") == MOST_SUBJECTS + MOST_TAGS - 1


def test_a_switch_without_anything_enriched_changes_nothing() -> None:
    assert passage("Dune", {"genres": ["space"], "enriched_embedded": True}, None) == "space: Dune"
