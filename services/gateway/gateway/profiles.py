"""What a store of events promises: the protocol, what goes in and comes out, and its cursors. Knows no database.

The stores that keep the promise are in `backends/`.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Protocol

from gateway.errors import CursorInvalid, EventInvalid
from gateway.evidence import Deed, Taste, taste

READ_DEEDS, KEPT_LIKED, SHOWN_EVENTS = 2_000, 100, 200
"""Newest events that taste is read from; liked items it keeps; events shown of a user."""
EPOCH, MILLISECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(milliseconds=1)
YEARS = range(1900, 2200)


class Event(NamedTuple):
    """One thing a user did with an item; `time_ms` in milliseconds since 1970 UTC."""

    user_id: str
    time_ms: int
    item_id: str
    type: str
    value: float | None

    @property
    def time(self) -> datetime:
        return EPOCH + self.time_ms * MILLISECOND


class Page(NamedTuple):
    """A page of events: a JSON array (made inside the database, which is what keeps exports fast), and where the next one starts."""

    events: bytes
    next_cursor: str | None


class Record(NamedTuple):
    """What is stored of a user: the newest events, how many there are in all, and the items liked, newest first."""

    events: tuple[Event, ...]
    event_count: int
    liked: tuple[str, ...]


class Profiles(Protocol):
    """A store of events. Every method raises `ProfilesUnavailable` when the store fails or, if it is elsewhere, is late."""

    shared: bool
    """Whether other gateways use the same store: its failure is then none of this process."""

    async def add(self, events: Sequence[Event]) -> int:
        """Stores all of `events` or none; how many were new. One that is there already (user, item, type, time) is left as it is."""

    async def taste(self, user_id: str) -> Taste:
        """What the newest 2,000 events say of the user; an empty taste for an unknown one."""

    async def record(self, user_id: str) -> Record | None:
        """What is stored of the user; None when nothing is."""

    async def page(self, cursor: str | None, limit: int) -> Page:
        """Up to `limit` events in the order of their storage; raises `CursorInvalid`.

        Whoever follows the cursors sees every event once: none is committed behind a page that was read.
        """

    async def erase(self, user_id: str) -> int:
        """Removes every event of the user; how many there were."""

    async def total(self) -> int:
        """How many events are stored; does not count them."""

    async def check(self) -> None:
        """Returns when the store can be written; changes nothing."""

    async def close(self) -> None:
        """Waits for what was begun; later calls fail."""


def milliseconds(time: datetime) -> int:
    """`time` as an event stores it: milliseconds, UTC when it has no offset; raises `EventInvalid` beyond 1900 to 2199."""
    if time.year not in YEARS:
        raise EventInvalid(
            f"time: {time.isoformat()} is not between {YEARS[0]} and {YEARS[-1]}; send RFC 3339, such as 2026-01-31T12:00:00Z"
        )
    return ((time if time.tzinfo else time.replace(tzinfo=UTC)) - EPOCH) // MILLISECOND


def taste_of(newest: Iterable[tuple[str, str, float | None]], liked_rating: float) -> Taste:
    """The taste in rows of item, type and value, newest first."""
    read = taste((Deed(*row) for row in newest), liked_rating)
    return Taste(read.liked[:KEPT_LIKED], read.touched)


def cursor_after(seq: int) -> str:
    """An opaque cursor that continues after the event number `seq`."""
    return f"e{seq:x}"


def seq_of(cursor: str | None) -> int:
    """The event number that `cursor` continues after, 0 for None; raises `CursorInvalid`."""
    if cursor is None:
        return 0
    try:
        seq = int(cursor.removeprefix("e"), 16)
    except ValueError as error:
        raise CursorInvalid(cursor) from error
    if not 0 < seq < 2**63 or cursor != cursor_after(seq):
        raise CursorInvalid(cursor)
    return seq
