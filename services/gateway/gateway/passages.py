"""The text of an item that is embedded. Knows nothing of the encoder.

Template: `{genres}: {title} by {authors}. {text}`; parts that an item does not have are left out. Measured on goodbooks with
all-MiniLM-L6-v2, text of one / three seeds alone, recall@20: title first with all genres .033 / .054, genres first .045 / .063. A genre
is named only where it says a word that none before it said: the same recall at three fifths of the length, and length is what imports
cost. For that reason only the first twenty are named; a catalogue that lists what is particular first loses nothing by it.

What an LLM wrote about an item (`python -m pipelines enrich`) stands in attributes of its own and counts here only where the attribute
`enriched_embedded` of the same item is true: its tags then follow the genres, its description precedes the text. Whether that finds
more was not measured: it depends on the LLM, and none was there to measure with.
"""

import re
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

MOST_SUBJECTS, MOST_TAGS = 20, 8
NO_SUBJECT = frozenset({"", "s", "to", "read"})
"""What is left of shelf names such as `children-s` and `to-read`, and says nothing of a subject."""


def passage(title: str, attributes: Mapping[str, Any], text: str | None) -> str:
    """The passage of an item: one line of words, then its free text."""
    subjects = list(islice(_subjects(_listed(attributes.get("genres"))), MOST_SUBJECTS))
    told = [text.strip()] if text and text.strip() else []
    if attributes.get("enriched_embedded") is True:
        subjects = list(_subjects([*subjects, *_listed(attributes.get("enriched_tags"))[:MOST_TAGS]]))
        told = [*_listed(attributes.get("enriched_description")), *told]
    genres, authors = ", ".join(subjects), ", ".join(_listed(attributes.get("authors")))
    named = f"{genres}: {title}" if genres else title
    named = f"{named} by {authors}" if authors else named
    return f"{named}. {' '.join(told)}" if told else named


def _listed(value: Any) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list | tuple) else [str(value)] if value else []


def _subjects(genres: Iterable[str]) -> Iterable[str]:
    """The genres, in their order, that add a word; hyphens become spaces, plurals count as their singular."""
    said: set[str] = set()
    for genre in genres:
        words = {word.rstrip("s") if len(word) > 3 else word for word in re.split(r"[-\s]+", genre.lower())} - NO_SUBJECT
        if not words <= said:
            said |= words
            yield genre.replace("-", " ")
