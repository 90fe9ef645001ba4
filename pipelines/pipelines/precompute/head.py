"""Which interests most people will have: the head of their distribution. Knows catalogues, nothing of expansions."""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines import topics

STARTERS = ("space opera with political intrigue", "a cosy mystery in a small village", "grim fantasy with clever thieves")
"""What the gateway's page offers to click on."""
MIN_AUTHOR_ITEMS = 3


class HeadUnusable(Exception):
    """There are no interests to expand, or their file can not be read; the message says what to give."""


@dataclass(frozen=True)
class Wanted:
    """An interest and where it is from: `starter`, `file`, `subject` or `author`."""

    interest: str
    kind: str


def of_catalogue(items: Iterable[Mapping[str, Any]], authors: int) -> list[Wanted]:
    """All subjects of the catalogue, then at most `authors` of those with most items; each kind by number of items, most first."""
    made = topics.build_topics(items)
    subjects = [Wanted(label, "subject") for label, _ in made["topics"]]
    frequent = [Wanted(name, "author") for name, count in made["authors"] if count >= MIN_AUTHOR_ITEMS]
    return subjects + frequent[:authors]


def in_file(path: Path) -> list[Wanted]:
    """One interest per line; blank lines and those that start with # are passed over. Raises `HeadUnusable`."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeError) as error:
        raise HeadUnusable(f"{path} can not be read ({error}); give a text file in UTF-8 with one interest per line.") from error
    return [Wanted(" ".join(line.split()), "file") for line in lines if line.strip() and not line.lstrip().startswith("#")]


def starters() -> list[Wanted]:
    """What a newcomer is offered."""
    return [Wanted(interest, "starter") for interest in STARTERS]


def distinct(wanted: Iterable[Wanted], limit: int | None = None) -> Sequence[Wanted]:
    """Each interest once, the first of those that the expander takes for the same; at most `limit`."""
    first: dict[str, Wanted] = {}
    for one in wanted:
        first.setdefault(" ".join(unicodedata.normalize("NFKC", one.interest).casefold().split()), one)
    return list(first.values())[:limit]
