"""Writes passages of books from the facts of the shipped sample. Knows nothing of phrases that nobody's catalogue has.

A passage has the form that the gateway embeds, `genres: title by authors`, whole or in parts; an item that is held back is in none.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from random import Random
from typing import Any

from pipelines import labels
from pipelines.evaluate.datasets import fraction

HELD_BACK = 0.1
"""Share of items that the student never sees, so that there is something honest to measure on."""
MOST_GENRES = 20

Item = Mapping[str, Any]


def held_back(item: Item) -> bool:
    """Whether an item is kept for measuring; depends on its title only, so that editions of one book stay on one side."""
    return fraction(f"distil {item['title'].lower()}") < HELD_BACK


def passage(item: Item) -> str:
    """An item in the gateway's form: genres that add a word, in their order, then title and authors."""
    return _line(subjects(item), item["title"], item["attributes"].get("authors", ()))


def subjects(item: Item) -> list[str]:
    """At most `MOST_GENRES` genres in words; one that only repeats words of those before it is left out."""
    kept: list[str] = []
    said: set[str] = set()
    for genre in item["attributes"].get("genres", ()):
        words = {labels.fold(word) for word in labels.words_of(genre)}
        if not words <= said:
            said |= words
            kept.append(genre.replace("-", " "))
    return kept[:MOST_GENRES]


def _line(genres: Sequence[str], title: str, authors: Sequence[str]) -> str:
    named = f"{title} by {', '.join(authors)}" if authors else title
    return f"{', '.join(genres)}: {named}" if genres else named


def passages(items: Iterable[Item], seed: int, variants: int) -> Iterator[str]:
    """Every item whole, then `variants` of it: with some of its genres, with another's, its title or subjects alone."""
    known, random = [item for item in items if not held_back(item)], Random(seed)
    yield from map(passage, known)
    for _ in range(variants):
        for item in known:
            yield _variant(item, random.choice(known), random)


def _variant(item: Item, other: Item, random: Random) -> str:
    genres, title, authors = subjects(item), item["title"], item["attributes"].get("authors", ())
    some = random.sample(genres, min(len(genres), random.randint(1, 8)))
    match random.randrange(10):
        case 0:
            return str(title)
        case 1:
            return _line((), title, authors)
        case 2:
            return ", ".join(some)
        case 3:
            return " ".join(some[:2])
        case 4:
            return _line((), other["title"], authors)
        case 5 | 6:
            return _line(some, title, authors)
        case 7:
            return _line(some, title, ())
        case _:
            return _line(some, other["title"], other["attributes"].get("authors", ()))  # a book that nobody wrote
