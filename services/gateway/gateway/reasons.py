"""Says why an item is there: a sentence per source, and each source's share of the score. Knows nothing of how items were found."""

from collections.abc import Mapping
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


def reasons(candidate: Candidate, weights: Mapping[str, float], titles: Mapping[str, str], *, of_user: bool) -> tuple[Reason, ...]:
    """Why `candidate` is there, the strongest first; `of_user` False words it for an item's page rather than for a person.

    A source's share is its weight times its standard score, over the sum of those that are positive. An item at which no source is
    above its mean still has a reason: the source that speaks least against it, with share 0.
    """
    parts = {name: weights.get(name, 0.0) * score.standard_score for name, score in candidate.sources.items() if weights.get(name)}
    if not parts:
        return ()
    total = sum(part for part in parts.values() if part > 0)
    if total <= 0:
        return (_reason(max(parts, key=parts.__getitem__), candidate, titles, 0.0, of_user),)
    shares = {name: part / total for name, part in parts.items() if part / total >= SMALLEST_SHARE}
    return tuple(_reason(name, candidate, titles, shares[name], of_user) for name in sorted(shares, key=shares.__getitem__, reverse=True))


def _reason(source: str, candidate: Candidate, titles: Mapping[str, str], share: float, of_user: bool) -> Reason:
    found_by = candidate.sources[source].found_by
    topic = found_by if source == "content" else None
    item_id = found_by if source in ("similar", "collaborative") else None
    return Reason(source, _sentence(source, topic, titles.get(item_id or ""), of_user), topic, item_id, round(share, 4))


def _sentence(source: str, topic: str | None, title: str | None, of_user: bool) -> str:
    if source == "content":
        return f'Matches "{topic}"' if topic else "Matches your interests"
    if source == "similar":
        if not of_user:
            return f'Close to "{title}"' if title else "Close to this item"
        return f'Because you like "{title}"' if title else "Because of an item you like"
    if source == "collaborative":
        return f'Readers of "{title}" also liked it' if title else "Readers of an item you like also liked it"
    return "Popular now"
