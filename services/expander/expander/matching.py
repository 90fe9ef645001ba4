"""Chooses topics for an interest from the catalogue's own: those it names, and those that go with them. Knows no file and no service.

An interest is split into parts: the longest runs of words that spell a topic ("cosy mysteries"), then single words that stand in
labels ("political" in "political thriller") or in titles and authors ("agatha"). Each part gives every topic an affinity in [0, 1]; a
topic's score is the sum over the parts, rarer parts counting more, so a topic near two parts comes before one near a single part.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from expander.artefact import GENERIC, Topics
from expander.words import folded

LONGEST_PHRASE, MOST_WORDS = 4, 32
NAMED, CONTAINS, RELATED, BY_WORD = 1.0, 0.9, 0.8, 0.8
"""Affinity of a topic that the part names; whose label has its words and more; that goes with a named one; that a title word hints at."""
COMMONEST_WEIGHT, HINT_WEIGHT = 0.3, 0.5
"""Weight of a part that names a topic on every item (on one item: 1); and of a single word that names none."""
RELIABLE_ITEMS = 20
"""A topic whose label contains the part's words counts half with this many items, more with more."""
TERSE, LEAST_NAMED = 3, 0.5
"""Of an interest with more words than `TERSE`, this share must name topics: what single words of a sentence hint at is mostly wrong."""
NOTHING_NEW, ECHO = 0.6, 0.35
"""Factor for a topic all of whose words are in the interest already; and for one that is all that was understood of it."""
COVERED = 0.6
"""Share of a part's weight that a chosen topic with affinity 1 uses up, so that every part is heard."""
LEAST_SCORE, LEAST_SHARE = 0.11, 0.25
"""A proposed topic reaches this score, and this share of the best score."""
ALIKE = 0.5
"""Factor against a topic for each share of words it has in common with one already chosen."""


@dataclass(frozen=True)
class Part:
    """One part of an interest: how much it counts, and the affinity of topics to it."""

    weight: float
    affinities: dict[int, float]


def propose(topics: Topics, interest: str, most: int) -> tuple[str, ...]:
    """At most `most` labels for `interest`, best first; () when nothing of it, or too little, is known here."""
    words = folded(interest)[:MOST_WORDS]
    if len(words) > TERSE and named_share(topics, interest) < LEAST_NAMED:
        return ()
    parts, asked = _weighed(list(_parts(topics, words))), frozenset(words)
    repeating = NOTHING_NEW if len(parts) > 1 else ECHO
    factors = {
        topic: (0.5 + 0.5 * _rarity(topics, topic)) * (repeating if topics.tokens[topic] <= asked else 1)
        for topic in {topic for part in parts for topic in part.affinities} - topics.common - {topics.phrases.get(asked, -1)}
    }
    scores = _scores(parts, [part.weight for part in parts], factors)
    least = max(LEAST_SCORE, LEAST_SHARE * max(scores.values(), default=0.0))
    good = {topic: factors[topic] for topic, score in scores.items() if score >= least}
    return tuple(topics.labels[topic] for topic in _chosen(topics, parts, good, most))


def _scores(parts: list[Part], weights: list[float], factors: dict[int, float]) -> dict[int, float]:
    return {
        topic: factor * sum(weight * part.affinities.get(topic, 0.0) for weight, part in zip(weights, parts, strict=True))
        for topic, factor in factors.items()
    }


def named_share(topics: Topics, interest: str) -> float:
    """Which share of the interest's words, in [0, 1], names topics: 1 where it is put in the catalogue's own words."""
    words = folded(interest)[:MOST_WORDS]
    return sum(len(run) for run, _, _ in _named_runs(topics, words)) / max(1, len(words))


def _named_runs(topics: Topics, words: tuple[str, ...]) -> Iterator[tuple[range, int, frozenset[str]]]:
    """Runs of words that spell a topic, that topic, and the words; the longest first, none of them twice."""
    left = set(range(len(words)))
    for size in range(min(LONGEST_PHRASE, len(words)), 0, -1):
        for start in range(len(words) - size + 1):
            run = range(start, start + size)
            key = frozenset(words[at] for at in run)
            if left.issuperset(run) and (topic := topics.phrases.get(key)) is not None:
                left.difference_update(run)
                yield run, topic, key


def _parts(topics: Topics, words: tuple[str, ...]) -> Iterator[Part]:
    left = set(range(len(words)))
    for run, topic, key in _named_runs(topics, words):
        left.difference_update(run)
        yield _named(topics, topic, key)
    for at in sorted(left):
        if part := _hinted(topics, words[at]):
            yield part


def _weighed(parts: list[Part]) -> list[Part]:
    """The parts with weights as shares of the largest: a broad interest that stands alone counts in full."""
    heaviest = max((part.weight for part in parts), default=1.0)
    return [Part(part.weight / heaviest, part.affinities) for part in parts]


def _named(topics: Topics, topic: int, key: frozenset[str]) -> Part:
    related = ((other, RELATED * strength) for other, strength in topics.related[topic])
    containing = {**_containing(topics, key), **_containing(topics, topics.tokens[topic])}
    affinities = _strongest(containing, related)
    if len(key) == 1:
        affinities = _strongest(affinities, _by_word(topics, *key))
    return Part(COMMONEST_WEIGHT + (1 - COMMONEST_WEIGHT) * _rarity(topics, topic), {**affinities, topic: NAMED})


def _hinted(topics: Topics, word: str) -> Part | None:
    """A word that names no topic by itself: topics whose label has it, what goes with those, and what its titles are about."""
    containing = {} if word in GENERIC else _containing(topics, frozenset((word,)))
    near = [(other, RELATED * affinity * strength) for topic, affinity in containing.items() for other, strength in topics.related[topic]]
    affinities = _strongest(_strongest(containing, near), _by_word(topics, word))
    return Part(HINT_WEIGHT, affinities) if affinities else None


def _containing(topics: Topics, key: frozenset[str]) -> dict[int, float]:
    """Topics with all the words of `key` and more; those with much more, or on few items, count less."""
    return {
        topic: CONTAINS * math.sqrt(len(key) / len(tokens)) * count / (count + RELIABLE_ITEMS)
        for topic, (tokens, count) in enumerate(zip(topics.tokens, topics.counts, strict=True))
        if key < tokens
    }


def _by_word(topics: Topics, word: str) -> Iterator[tuple[int, float]]:
    """What titles and authors with the word are about; squared, because weak associations are mostly chance."""
    return ((topic, BY_WORD * strength**2) for topic, strength in topics.words.get(word, ()))


def _strongest(known: dict[int, float], more: Iterable[tuple[int, float]]) -> dict[int, float]:
    merged = dict(known)
    for topic, affinity in more:
        merged[topic] = max(affinity, merged.get(topic, 0.0))
    return merged


def _rarity(topics: Topics, topic: int) -> float:
    """0 for a topic on every item, 1 for one on a single item."""
    return math.log(topics.items / topics.counts[topic]) / math.log(topics.items) if topics.items > 1 else 0.0


def _chosen(topics: Topics, parts: list[Part], factors: dict[int, float], most: int) -> list[int]:
    """Greedy: the best topic, then each time the best of the rest after what it repeats of the chosen is taken off."""
    weights = [part.weight for part in parts]
    chosen: list[int] = []
    while len(chosen) < most and factors:
        scores = _scores(parts, weights, factors)
        best = max(scores, key=lambda topic: (scores[topic], -topic))
        chosen.append(best)
        if len(parts) > 1:
            weights = [weight * (1 - COVERED * part.affinities.get(best, 0.0)) for weight, part in zip(weights, parts, strict=True)]
        factors = _without_repeats(topics, factors, topics.tokens[best])
    return chosen


def _without_repeats(topics: Topics, factors: dict[int, float], tokens: frozenset[str]) -> dict[int, float]:
    """Leaves out labels that only add words to `tokens` or take some away; the more words the others share, the less they count."""
    return {
        topic: factor * (1 - ALIKE * len(tokens & own) / len(tokens | own))
        for topic, factor in factors.items()
        if not (tokens <= (own := topics.tokens[topic]) or own <= tokens)
    }
