"""How much is known of a user at request time, and the rung that follows. Knows nothing of storage and search."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from gateway.candidates import Filter

MAX_LIKED, MAX_EXCLUDED = 500, 10_000
"""The most that one call of the retriever takes."""
FEW_ITEMS = 5
"""Up to so many liked items are rung 2, more are rung 3 (the evidence ladder of the architecture page)."""


class Deed(NamedTuple):
    """What a user did with an item: the part of an event that says something of their taste."""

    item_id: str
    type: str
    value: float | None = None


@dataclass(frozen=True, slots=True)
class Taste:
    """What deeds say of a user: the items they like, newest first, and every item they touched."""

    liked: tuple[str, ...] = ()
    touched: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request says; `topics` None means that the expander is asked."""

    interests: tuple[str, ...] = ()
    topics: tuple[str, ...] | None = None
    liked: tuple[str, ...] = ()
    deeds: tuple[Deed, ...] = ()
    user_id: str | None = None
    k: int = 10
    filter: Filter = field(default_factory=dict)
    exclude: tuple[str, ...] = ()
    expansion: str = "async"
    locale: str | None = None
    caller: str = ""
    """Stands for the API key that the request came with; "" when it came with none."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What recommendations start from: liked items, whether there is a stated interest, and the items that are not shown."""

    liked: tuple[str, ...]
    interest: bool
    excluded: tuple[str, ...]

    def without(self, unknown: Iterable[str]) -> "Evidence":
        """The evidence that is left when these items are not in the catalogue."""
        gone = frozenset(unknown)
        return Evidence(tuple(item for item in self.liked if item not in gone), self.interest, self.excluded)

    @property
    def rung(self) -> int:
        """0: nothing is known, 1: an interest only, 2: up to five liked items, 3: more."""
        if not self.liked:
            return 1 if self.interest else 0
        return 2 if len(self.liked) <= FEW_ITEMS else 3


def taste(deeds: Iterable[Deed], liked_rating: float) -> Taste:
    """Reads deeds, newest first.

    An item's newest verdict counts: like, purchase, review and a rating of at least `liked_rating` are for it, dismiss and a lower
    rating against it. A view, or a rating without a value, is for it only where there is no verdict.
    """
    verdicts: dict[str, bool | None] = {}
    for item_id, kind, value in deeds:
        if verdicts.get(item_id) is None:
            verdicts[item_id] = _verdict(kind, value, liked_rating)
    return Taste(tuple(item for item, verdict in verdicts.items() if verdict is not False), tuple(verdicts))


def _verdict(kind: str, value: float | None, liked_rating: float) -> bool | None:
    if kind == "rate":
        return None if value is None else value >= liked_rating
    return {"dismiss": False, "view": None}.get(kind, True)


def weigh(asked: Asked, stored: Taste, liked_rating: float) -> Evidence:
    """Joins what the request says with what is stored of the user; the request is newer and wins."""
    now = taste(asked.deeds, liked_rating)
    against = set(now.touched) - set(now.liked)
    liked = dict.fromkeys(item for item in (*asked.liked, *now.liked, *stored.liked) if item not in against)
    excluded = dict.fromkeys((*asked.exclude, *liked, *now.touched, *stored.touched))
    return Evidence(tuple(liked)[:MAX_LIKED], bool(asked.interests or asked.topics), tuple(excluded)[:MAX_EXCLUDED])
