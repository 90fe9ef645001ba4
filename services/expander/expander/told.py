"""What an LLM was told, to recognise it in the answer. Knows nothing of how answers are read.

An answer must not give back the interest, the titles or the prompt. Nor is anybody quoted who speaks to the machine: where a text that the
user wrote does (`wording.takes_over`), no topic may have a word of it, and where it holds something encoded, which nobody can read here, no
topic is believed at all.
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import cache

from expander.interests import Asked
from expander.prompts.proposal import TOPICS, told
from expander.wording import encoded, latin, takes_over
from expander.words import folded, normalised

LEAKING_WORDS = 3
"""So many words in a row of the system text are taken from it."""
ECHOING_WORDS = 4
"""So many words in a row of the user's text are quoted from it."""
LEAST_ENCODED = 16
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True)
class Told:
    """What must not come back: whole texts (as `normalised`, and as sets of `folded` words), stretches of `text`, words of `orders`."""

    wholes: frozenset[str]
    subjects: frozenset[frozenset[str]]
    text: str
    orders: frozenset[str]
    unreadable: bool = False

    @classmethod
    def of(cls, asked: Asked) -> "Told":
        """Of what the LLM reads of `asked`."""
        data = told(asked)
        history = data.get("history", ())
        wholes = [data.get("interest", ""), *(item["title"] for item in history)]
        texts = [unicodedata.normalize("NFKC", text) for text in (*wholes, *(item.get("review", "") for item in history)) if text]
        orders = [text[at:] for text in texts if (at := takes_over(text)) is not None]
        return cls(
            frozenset(normalised(text) for text in wholes),
            frozenset(frozenset(folded(text)) for text in wholes) - {frozenset()},
            " | ".join(_spaced(text) for text in texts),
            frozenset(word for order in orders for word in (*folded(order), *folded(latin(order)))),
            any(len(word) >= LEAST_ENCODED and encoded(word) for text in texts for word in _WORD.findall(text)),
        )

    def holds(self, topic: str) -> bool:
        """Whether `topic` gives back what was told."""
        words = folded(topic)
        spaced = _spaced(topic)
        return (
            self.unreadable
            or normalised(topic) in self.wholes
            or frozenset(words) in self.subjects
            or (len(spaced.split()) >= ECHOING_WORDS and spaced in self.text)
            or not self.orders.isdisjoint((*words, *folded(latin(topic))))
            or leaks(topic, TOPICS.system)
        )


def leaks(text: str, system: str) -> bool:
    """Whether `text` has three words in a row of `system`."""
    return not _runs(_spaced(text)).isdisjoint(_runs_of_system(system))


def _spaced(text: str) -> str:
    return f" {' '.join(_WORD.findall(normalised(text)))} "


def _runs(spaced: str) -> frozenset[tuple[str, ...]]:
    words = spaced.split()
    return frozenset(zip(*(words[at:] for at in range(LEAKING_WORDS)), strict=False))


@cache
def _runs_of_system(system: str) -> frozenset[tuple[str, ...]]:
    return _runs(_spaced(system))
