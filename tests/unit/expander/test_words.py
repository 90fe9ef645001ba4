"""Words brought to one form."""

import pytest

from expander import words


@pytest.mark.parametrize(
    ("plural", "singular"),
    [
        ("mysteries", "mystery"),
        ("witches", "witch"),
        ("dragons", "dragon"),
        ("classics", "classic"),
        ("heiresses", "heiress"),
        ("ties", "tie"),
    ],
)
def test_a_plural_and_its_singular_fold_to_the_same_word(plural: str, singular: str) -> None:
    assert words.fold(plural) == words.fold(singular) == singular


@pytest.mark.parametrize("word", ["gods", "glass", "opus", "crisis", "war"])
def test_folding_twice_changes_nothing_more(word: str) -> None:
    assert words.fold(words.fold(word)) == words.fold(word)


def test_stop_words_and_single_letters_name_no_subject() -> None:
    assert words.folded("The Books about a Dragon's World, please") == ("dragon", "world")


def test_digits_are_words_because_an_age_is_a_hint() -> None:
    assert words.folded("for a 7 year old") == ("7", "year", "old")


def test_interests_that_differ_in_case_space_or_composition_are_the_same() -> None:
    assert words.normalised("  Caf\u00e9 Noir ") == words.normalised("cafe\u0301   NOIR")
