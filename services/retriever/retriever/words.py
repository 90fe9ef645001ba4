"""Turns titles and what a person types into words, and those into SQLite FTS5 expressions. Knows nothing of the tables.

Only letters, digits and marks get through, each run in double quotes, so no typed text can be read as FTS5 syntax
(https://www.sqlite.org/fts5.html#full_text_query_syntax).
"""

import unicodedata
from collections.abc import Mapping

from retriever.items import AttributeValue

AUTHORS = "authors"
"""The attribute that search-as-you-type looks at besides the title."""
MOST_WORDS = 16
"""Further words are not looked at."""


def authors_of(attributes: Mapping[str, AttributeValue]) -> str:
    """One line."""
    authors = attributes.get(AUTHORS, "")
    return " ".join(authors) if isinstance(authors, tuple) else str(authors)


def runs(text: str) -> list[str]:
    """The runs of letters, digits and marks, as FTS5's unicode61 tokenizer sees them."""
    return "".join(char if unicodedata.category(char)[0] in "LNM" else " " for char in text).split()


def words(typed: str) -> list[str]:
    """The first of them."""
    return runs(typed)[:MOST_WORDS]


def folded(text: str) -> list[str]:
    """All of them without case and marks, as that tokenizer compares them."""
    apart = unicodedata.normalize("NFD", text.casefold())
    return runs("".join(char for char in apart if unicodedata.category(char) != "Mn"))


def every_word(typed: str) -> str:
    """Matches where every word occurs, each as the beginning of a word; empty when there is no word."""
    return " AND ".join(f'"{word}"*' for word in words(typed))


def in_title(every: str) -> str:
    """The expression of `every_word`, for titles alone."""
    return f"title : ({every})"
