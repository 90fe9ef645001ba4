"""The text of an item that is embedded. Knows nothing of the encoder.

Template: `{title} by {authors}. {genres}. {text}`; parts that an item does not have are left out. Lists are joined with ", ", and
hyphens in genres become spaces, because an encoder knows "science fiction" better than "science-fiction".
"""

from collections.abc import Mapping
from typing import Any


def passage(title: str, attributes: Mapping[str, Any], text: str | None) -> str:
    """The passage of an item: one line of words, then its free text."""
    authors, genres = _words(attributes.get("authors")), _words(attributes.get("genres")).replace("-", " ")
    parts = (f"{title} by {authors}." if authors else f"{title}.", f"{genres}." if genres else "", (text or "").strip())
    return " ".join(part for part in parts if part)


def _words(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value or "")
