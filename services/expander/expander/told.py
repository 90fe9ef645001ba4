"""What an LLM was told, to recognise it in the answer. Knows nothing of prompts' files and of how answers are read."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from expander.characters import legible
from expander.interests import Asked
from expander.prompts import TOPICS
from expander.wording import takes_over
from expander.words import folded, normalised

LEAKING_WORDS = 3
"""So many words in a row of the system text are taken from it."""
ECHOING_WORDS = 4
READ_CHARACTERS = 1_200
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True)
class Told:
    """The interest and titles that an answer must not give back, and the words of whoever speaks to the machine."""

    echoes: frozenset[str]
    folded_echoes: frozenset[frozenset[str]]
    text: str
    orders: frozenset[str]

    @classmethod
    def of(cls, asked: Asked) -> "Told":
        whole = [asked.interest, *(one.title for one in asked.history)]
        reviews = [one.review[:READ_CHARACTERS] for one in asked.history if one.review]
        texts = [legible(text[:READ_CHARACTERS]) for text in (*whole, *reviews)]
        orders = [text[at:] for text in texts if (at := takes_over(text)) is not None]
        return cls(
            frozenset(normalised(text) for text in whole),
            frozenset(frozenset(folded(text)) for text in whole),
            " \n ".join(_spaced(text) for text in texts),
            frozenset(word for order in orders for word in folded(order)),
        )

    def holds(self, topic: str) -> bool:
        """Whether `topic` is the interest or a title, a stretch of four words of what the user wrote or of three of the system text, or
        has a word of what a user wrote to the machine: who gives orders is not quoted."""
        words = folded(topic)
        spaced = _spaced(topic)
        return (
            normalised(topic) in self.echoes
            or (bool(words) and frozenset(words) in self.folded_echoes)
            or (spaced.count(" ") - 1 >= ECHOING_WORDS and spaced in self.text)
            or not self.orders.isdisjoint(words)
            or not _runs(spaced).isdisjoint(_system_runs())
        )


def _spaced(text: str) -> str:
    return f" {' '.join(_WORD.findall(normalised(text)))} "


def _runs(spaced: str) -> frozenset[tuple[str, ...]]:
    words = spaced.split()
    return frozenset(zip(*(words[at:] for at in range(LEAKING_WORDS)), strict=False))


@cache
def _system_runs() -> frozenset[tuple[str, ...]]:
    return _runs(_spaced(TOPICS.system))
