"""Leaves out topics that mean the same as an earlier one, by their embeddings. Knows nothing of how topics are made.

What differs only in case or number is gone by then; this is about "magic schools" and "schools of magic". Two phrases of a few words are
near each other whenever they share one, in any encoder: "gothic horror" and "gothic romance" have a cosine of 0.86 in MiniLM. So where
two topics share words, what each has besides them must be alike too, and a topic that only adds words to another is something narrower.
Topics are embedded in a sentence, which helps an encoder that was trained on sentences.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations

from expander.clients import EncoderClient
from expander.metrics import ExpanderMetrics
from expander.words import folded
from servicekit.client import Late, ServiceError, Unreachable
from servicekit.deadline import Deadline

Embedding = Sequence[float]
"""Of unit length, `(dim,)`."""

SENTENCE = "books about {}"
SAME = 0.8
"""Chosen as the least likeness, in steps of 0.05, that none of 49 pairs of different topics reach, most of which share words; 21 of 40
pairs that mean the same do. On pairs that had no part in the choice: 1 of 51, and 25 of 50. By cosine of the bare topics alone the
same choice would be 0.85, which finds 9 of the 40. MiniLM (all-MiniLM-L6-v2), 2026-11-23, `tests/integration/test_topic_synonyms.py`."""
FEWEST = 3
"""Topics that always stay."""
PATIENCE_MS = 200


def passages(topics: Sequence[str]) -> list[str]:
    """What is to be embedded to compare `topics`: they, and of every two that share words what each has of its own; each once."""
    own = [words for one, other in combinations(topics, 2) for words in _own_words(one, other) if words]
    return list(dict.fromkeys([*topics, *own]))


def distinct(topics: Sequence[str], embeddings: Mapping[str, Embedding]) -> tuple[str, ...]:
    """The first of each group of topics whose likeness is `SAME` or more, in order; never below `FEWEST`.

    `embeddings` has one for each of `passages(topics)`. Where too few would stay, those come back that are least like what is kept.
    """
    nearest: dict[int, float] = {}
    for place, topic in enumerate(topics):
        likeness = max((alike(topics[other], topic, embeddings) for other, found in nearest.items() if found < SAME), default=-1.0)
        nearest[place] = likeness
    kept = [place for place, likeness in nearest.items() if likeness < SAME]
    left_out = sorted((place for place in nearest if place not in kept), key=lambda place: (nearest[place], place))
    return tuple(topics[place] for place in sorted([*kept, *left_out[: max(0, FEWEST - len(kept))]]))


def alike(one: str, other: str, embeddings: Mapping[str, Embedding]) -> float:
    """How much two topics mean the same: the least cosine among those of the topics and of what each has of its own; in [-1, 1]."""
    whole = _cosine(embeddings[one], embeddings[other])
    ours, theirs = _own_words(one, other)
    if ours and theirs:
        return min(whole, _cosine(embeddings[ours], embeddings[theirs]))
    return min(whole, 0.0) if ours or theirs else whole


def _own_words(one: str, other: str) -> tuple[str, str]:
    """The folded words that each has and the other has not; two empty ones where they share none, or where both are the same words."""
    ours, theirs = folded(one), folded(other)
    if not set(ours) & set(theirs):
        return "", ""
    return " ".join(word for word in ours if word not in theirs), " ".join(word for word in theirs if word not in ours)


def _cosine(one: Embedding, other: Embedding) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


class Distinct:
    """Removes near-synonyms where there is an encoder. One that fails costs nothing but the synonyms, and `PATIENCE_MS` at most."""

    def __init__(self, encoder: EncoderClient | None, metrics: ExpanderMetrics) -> None:
        self._encoder, self._metrics = encoder, metrics

    async def of(self, topics: Sequence[str], deadline: Deadline) -> tuple[str, ...]:
        """The topics that differ in meaning, in order; as they came when the encoder does not answer in time."""
        if self._encoder is None or len(topics) <= FEWEST:
            return tuple(topics)
        texts = passages(topics)
        soon = min(Deadline.after_ms(PATIENCE_MS), deadline, key=lambda one: one.at)
        try:
            _, embedded = await self._encoder.embed([SENTENCE.format(text) for text in texts], soon)
        except ServiceError as error:
            self._metrics.comparisons.labels(_outcome(error)).inc()
            return tuple(topics)
        kept = distinct(topics, dict(zip(texts, embedded, strict=True)))
        self._metrics.comparisons.labels("compared").inc()
        self._metrics.near_synonyms.inc(len(topics) - len(kept))
        return kept


def _outcome(error: ServiceError) -> str:
    return "late" if isinstance(error, Late) else "unreachable" if isinstance(error, Unreachable) else "refused"
