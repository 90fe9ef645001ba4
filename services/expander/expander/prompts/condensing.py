"""Makes a long history short enough to be told. Knows nothing of how it is told."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from expander.characters import clusters, legible
from expander.interests import Liked
from expander.prompts.tokens import estimated

TELLING_WORDS = 30
"""A review says no more for being longer than this."""
STARS_APART = 4.0
OF_RECENCY = 0.25
READ_CHARACTERS = 1_200
"""Nothing behind these is read, of any one text: no limit is so wide that it would be told."""
_WORD = re.compile(r"\S+")
OF_AN_ITEM = 24
"""Tokens of an item's own JSON: names, quotes, stars."""


def condensed(history: Sequence[Liked], limits: Mapping[str, int]) -> list[dict[str, Any]]:
    """The most telling items in the order given, as `title`, `stars` and `review`, each cut to its limit, all within `limits["history"]`.

    An item tells w + c + r: w, the words of its review over 30, at most 1; c, how far its stars are from this person's own mean, over 4
    (0 without stars: five stars from someone who always gives five say little); r, 1/4 for the first, the most recent, down to 0.
    """
    told: dict[int, dict[str, Any]] = {}
    left = limits["history"]
    for at in ranked(history)[: limits["items"]]:
        item = _told(history[at], limits)
        tokens = OF_AN_ITEM + sum(estimated(text) for text in item.values() if isinstance(text, str))
        if item["title"] and tokens <= left:
            told[at] = item
            left -= tokens
    return [told[at] for at in sorted(told)]


def ranked(history: Sequence[Liked]) -> list[int]:
    """Positions in `history`, the most telling first; see `condensed`."""
    stars = [one.stars for one in history if one.stars is not None]
    mean = sum(stars) / len(stars) if stars else 0.0

    def telling(at: int) -> float:
        one = history[at]
        words = min(len((one.review or "")[:READ_CHARACTERS].split()), TELLING_WORDS) / TELLING_WORDS
        apart = abs(one.stars - mean) / STARS_APART if one.stars is not None else 0.0
        return words + apart + OF_RECENCY * (1 - at / len(history))

    return sorted(range(len(history)), key=telling, reverse=True)


def _told(one: Liked, limits: Mapping[str, int]) -> dict[str, Any]:
    item: dict[str, Any] = {"title": cut(one.title, limits["title"])}
    if one.stars is not None:
        item["stars"] = round(one.stars, 1)
    if one.review and (review := cut(one.review, limits["review"])):
        item["review"] = review
    return item


def cut(text: str, tokens: int) -> str:
    """The beginning of `text`, legible, of at most `tokens` estimated tokens: whole words where it has spaces, always whole characters.

    What a reader takes for one character (a letter with its marks, a joined emoji, a flag) is told whole or not at all. Within a word it is
    cut only when the words before it would leave more than half of the tokens unused, as in scripts without spaces.
    """
    line = legible(text[:READ_CHARACTERS])
    if len(text) > READ_CHARACTERS:
        # What was last may be half a word or half a character.
        line = line[: max(line.rfind(" "), 0)] or "".join(list(clusters(line))[:-1])
    kept, left = 0, tokens
    for word in _WORD.finditer(line):
        if (needed := estimated(word[0])) > left:
            return line[: kept if 2 * left <= tokens else word.start() + _fitting(word[0], left)].rstrip()
        kept, left = word.end(), left - needed
    return line


def _fitting(word: str, tokens: int) -> int:
    """How many code points of `word` are within `tokens`."""
    end = 0
    for cluster in clusters(word):
        tokens -= estimated(cluster)
        if tokens < 0:
            break
        end += len(cluster)
    return end
