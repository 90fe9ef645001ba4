"""Turns expansions into the queries of a search and the topics that are shown. Knows nothing of who proposed them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.candidates import Query


@dataclass(frozen=True, slots=True)
class Expansion:
    """The topics of one interest and who proposed them: `llm`, `cooccurrence`, `caller` or `none`."""

    interest: str | None
    topics: tuple[str, ...]
    source: str
    model: str | None = None
    fallback_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Topics:
    """Expansions of a request; `degraded` when a substitute answered for the LLM, `pending` when it is asked behind the answer."""

    expansions: tuple[Expansion, ...]
    degraded: bool = False
    pending: bool = False


@dataclass(frozen=True, slots=True)
class UsedTopic:
    """A topic that was searched for."""

    text: str
    interest: str | None
    source: str
    model: str | None


def of_caller(topics: Sequence[str]) -> Topics:
    """The topics a request brings itself, of no interest in particular."""
    return Topics((Expansion(None, tuple(topics), "caller"),) if topics else ())


def texts(topics: Topics) -> list[str]:
    """All topics, each once."""
    return list(dict.fromkeys(topic for expansion in topics.expansions for topic in expansion.topics))


def queries(interests: Sequence[str], topics: Topics, known: Mapping[str, str], interest_weight: float) -> tuple[Query, ...]:
    """One query per text that has an embedding; the weights sum to 1 when all have one.

    Each interest has an equal part of the mass, of which it keeps `interest_weight` and its topics share the rest; topics of the
    caller share the rest of all. A text that comes twice has the sum of its weights.
    """
    weights: dict[str, float] = {}

    def add(share: float, shared_by: Sequence[str]) -> None:
        for text in shared_by:
            weights[text] = weights.get(text, 0.0) + share / len(shared_by)

    proposed = [expansion for expansion in topics.expansions if expansion.topics]
    of_interest = {one.interest: one.topics for one in proposed if one.interest is not None}
    of_all = [topic for one in proposed if one.interest is None for topic in one.topics]
    kept = interest_weight if interests else 0.0
    for interest in interests:
        mass = 1 / len(interests)
        own = of_interest.get(interest, ())
        add(mass * kept if own or of_all else mass, (interest,))
        add(mass * (1 - kept) if own else 0.0, own)
    add(1 - kept, of_all)
    return tuple(Query(text, known[text], weight) for text, weight in weights.items() if weight > 0 and text in known)


def used(topics: Topics, asked: Sequence[Query]) -> tuple[UsedTopic, ...]:
    """The topics that were searched for, each once."""
    labels = {query.label for query in asked}
    shown: dict[str, UsedTopic] = {}
    for one in topics.expansions:
        for topic in one.topics:
            if topic in labels:
                shown.setdefault(topic, UsedTopic(topic, one.interest, one.source, one.model))
    return tuple(shown.values())
