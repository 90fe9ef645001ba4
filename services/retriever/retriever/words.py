"""Turns what a person types into SQLite FTS5 expressions. Knows nothing of the tables.

Only letters, digits and marks get through, each run in double quotes, so no typed text can be read as FTS5 syntax
(https://www.sqlite.org/fts5.html#full_text_query_syntax).
"""

import unicodedata

MOST_WORDS = 16
"""Further words are not looked at."""


def words(typed: str) -> list[str]:
    """The runs of letters, digits and marks, as FTS5's unicode61 tokenizer sees them."""
    kept = "".join(char if unicodedata.category(char)[0] in "LNM" else " " for char in typed)
    return kept.split()[:MOST_WORDS]


def every_word(typed: str) -> str:
    """Matches where every word occurs, each as the beginning of a word; empty when there is no word."""
    return " AND ".join(f'"{word}"*' for word in words(typed))


def in_title(every: str) -> str:
    """The expression of `every_word`, for titles alone."""
    return f"title : ({every})"
