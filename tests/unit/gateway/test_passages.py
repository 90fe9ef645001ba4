from gateway.passages import passage


def test_a_passage_names_title_authors_genres_and_text() -> None:
    attributes = {"authors": ["Frank Herbert", "Another"], "genres": ["science-fiction", "space"], "year": 1965}
    assert passage("Dune", attributes, " Sand. ") == "Dune by Frank Herbert, Another. science fiction, space. Sand."


def test_parts_that_an_item_does_not_have_are_left_out() -> None:
    assert passage("Dune", {}, None) == "Dune."
    assert passage("Dune", {"authors": [], "genres": "space"}, "") == "Dune. space."
