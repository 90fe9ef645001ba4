from gateway.passages import MOST_SUBJECTS, passage


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
