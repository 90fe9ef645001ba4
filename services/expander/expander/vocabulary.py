"""Finds a topic in the catalogue's own vocabulary: a subject by its words, an author by name. Knows no LLM and no file.

The rules, the first that finds something decides:

1. The whole topic spells a subject, its words in any order and number ("Mysteries, cosy").
2. A run of its words is the full name of an author, however the initials are written ("in the style of J. K. Rowling").
3. A head in it is a subject. A topic has as many parts as prepositions, words like "featuring", "and" and punctuation divide it into;
   the head of a part is its last word, after words like "stories" at its end are left out where they spell nothing. With other words of
   the part the head may spell something narrower ("Scandinavian murder mystery"), and the narrowest is taken. The first part counts whose
   head is a subject: "detectives in Victorian London" is about detectives, "first contact with aliens" about aliens.

A modifier alone is no match: "political intrigue" is not "politics". How often the rules are right is measured in
`tests/unit/expander/test_vocabulary.py`, on topics that were labelled by hand.
"""

import re
from collections.abc import Iterator
from itertools import combinations

from expander.artefact import Topics
from expander.words import folded, name_key, spelt

MOST_WORDS, LONGEST_SUBJECT, LONGEST_NAME = 8, 4, 5
_DIVIDING = """
about across after against along amid among and around as at based before behind between beyond by despite during exploring featuring
following for from given in inside inspired into involving like meets near of off on or over reimagined retold set solved starring that
through to told toward towards under where which who whose with within without written
"""
_JOINTS = re.compile(rf"[,;:()\[\]/&+|\u2013\u2014]|(?<![\w-])(?:{'|'.join(_DIVIDING.split())})(?![\w-])", re.IGNORECASE)
_FORM = """
adaptation anthology collection fiction literature narrative retelling saga series title work writing
"""
_FORMS = frozenset(_FORM.split())
"""Folded words that say what form a subject has, not what it is; `words.STOP` holds novels, stories and tales."""


def subject(topics: Topics, text: str) -> str | None:
    """The label that the whole of `text` spells, or its head; None when there is none."""
    if (whole := spelling(topics, text)) is not None:
        return whole
    found = next((position for position in _heads(topics, text) if position is not None), None)
    return None if found is None else topics.labels[found]


def parts(text: str) -> tuple[str, ...]:
    """What prepositions, words like "featuring", "and" and punctuation divide `text` into, in order; none that names nothing."""
    return tuple(part.strip() for part in _JOINTS.split(text) if folded(part))


def spelling(topics: Topics, text: str) -> str | None:
    """The label that `text` spells as a whole."""
    position = topics.phrases.get(frozenset(folded(text)))
    return None if position is None else topics.labels[position]


def author(topics: Topics, text: str) -> str | None:
    """The author whose full name is a run of words of `text`; one of a single word only where it is the whole of it."""
    if (name := topics.authors.get(name_key(text))) is not None:
        return name
    words = spelt(text)
    for size in range(min(LONGEST_NAME, len(words)), 1, -1):
        for start in range(len(words) - size + 1):
            if (name := topics.authors.get("".join(words[start : start + size]))) is not None:
                return name
    return None


def _heads(topics: Topics, text: str) -> Iterator[int | None]:
    """The subject of each part, in order."""
    for part in parts(text):
        words = folded(part)[-MOST_WORDS:]
        found: list[tuple[int, bool, int, int]] = []
        while words:
            found += _ending_in_its_last(topics, words)
            if words[-1] not in _FORMS:
                break
            words = words[:-1]
        yield min(found)[-1] if found else None


def _ending_in_its_last(topics: Topics, words: tuple[str, ...]) -> Iterator[tuple[int, bool, int, int]]:
    """Every topic spelt by the last word and some before it, as a tuple whose least is the best.

    More telling words are better; then those that stand next to each other, which belong together ("military | science fiction"); then
    the topic on fewer items.
    """
    *rest, head = words
    for size in range(min(LONGEST_SUBJECT, len(words))):
        for some in combinations(rest, size):
            position = topics.phrases.get(frozenset((*some, head)))
            if position is not None:
                telling = sum(word not in _FORMS for word in (*some, head))
                yield -telling, some != tuple(rest[len(rest) - size :]), topics.counts[position], position
