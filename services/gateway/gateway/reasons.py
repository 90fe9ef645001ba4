"""Says why an item is there: a sentence per source, and each source's share of the score. Knows nothing of how items were found."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from gateway.candidates import Candidate

SMALLEST_SHARE = 0.05
"""A source that contributed less is not worth a sentence."""


@dataclass(frozen=True, slots=True)
class Reason:
    """A sentence to show, the source, and the topic or liked item that led to the item."""

    source: str
    text: str
    topic: str | None
    item_id: str | None
    share: float


def reasons(
    candidate: Candidate, weights: Mapping[str, float], liked: Collection[str], titles: Mapping[str, str], *, of_user: bool
) -> tuple[Reason, ...]:
    """Why `candidate` is there, the strongest first; `of_user` False words it for an item's page rather than for a person.

    A source's share is its weight times its standard score, over the sum of those that are positive. An item at which no source is
    above its mean still has a reason: the source that speaks least against it, with share 0. What found an item in a source is one of
    the `liked` items or else a topic.
    """
    parts = {name: weights.get(name, 0.0) * score.standard_score for name, score in candidate.sources.items() if weights.get(name)}
    if not parts:
        return ()
    total = sum(part for part in parts.values() if part > 0)
    shares = {name: part / total for name, part in parts.items() if part / total >= SMALLEST_SHARE} if total > 0 else {}
    shares = shares or {max(parts, key=parts.__getitem__): 0.0}
    made = []
    for source in sorted(shares, key=shares.__getitem__, reverse=True):
        found_by = candidate.sources[source].found_by
        item_id = found_by if found_by in liked else None
        topic = found_by if item_id is None else None
        text = _sentence(source, topic, titles.get(item_id or ""), of_user)
        made.append(Reason(source, text, topic, item_id, round(shares[source], 4)))
    return tuple(made)


def _sentence(source: str, topic: str | None, title: str | None, of_user: bool) -> str:
    if source == "content":
        return f'Matches "{topic}"' if topic else "Matches your interests"
    if source == "similar":
        if not of_user:
            return f'Close to "{title}"' if title else "Close to this item"
        return f'Because you like "{title}"' if title else "Because of an item you like"
    if source == "collaborative":
        if topic:
            return f'Liked by people who like "{topic}"'
        return f'Liked by people who like "{title}"' if title else "Liked by people who like an item you like"
    return "Popular now"
