"""The public API: what product frontends send and get. Knows nothing of the services behind the gateway."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from contracts.expander import ExpansionMode, Locale
from contracts.filters import Filter
from contracts.items import AttributeValue, Item
from contracts.wire import Id, Reply, Text, Wire

EventType = Literal["view", "like", "rate", "review", "purchase", "dismiss"]
Rung = Annotated[int, Field(ge=0, le=3)]
Stage = Literal["expander", "encoder", "retriever", "profiles"]


class Event(Wire):
    """One thing a user did with an item."""

    user_id: Id
    item_id: Id
    type: EventType = "like"
    time: datetime | None = Field(default=None, description="When it happened (RFC 3339); the time of receipt when left out.")
    value: Annotated[float, Field(ge=-1e6, le=1e6)] | None = Field(default=None, description="A rating, for example.")


class EventBatch(Wire):
    """Several events in one body; all are stored or none."""

    events: Annotated[tuple[Event, ...], Field(min_length=1, max_length=10_000)]


class RequestEvent(Wire):
    """An event of the user this request is for; used for this answer only, not stored."""

    item_id: Id
    type: EventType = "like"


class RecommendationRequest(Wire):
    """Everything is optional: what is known of the user decides the rung."""

    interests: Annotated[tuple[Text, ...], Field(max_length=5)] = Field(
        default=(), description="What the user said they like, in their words."
    )
    topics: Annotated[tuple[Text, ...], Field(max_length=25)] | None = Field(
        default=None, description="Use exactly these topics instead of asking the expander; an empty list means none."
    )
    expansion: ExpansionMode = Field(
        default="async",
        description="`async`: a new interest is answered at once with topics of the catalogue, and its next request has the LLM's. `wait`:"
        " the LLM is waited for, up to its part of the deadline. `off`: the LLM is not asked.",
    )
    locale: Locale | None = Field(default=None, description="Language of the interests (BCP 47), such as `de-AT`.")
    liked_items: Annotated[tuple[Id, ...], Field(max_length=200)] = ()
    events: Annotated[tuple[RequestEvent, ...], Field(max_length=200)] = ()
    user_id: Id | None = Field(default=None, description="Adds what the stored events say of this user.")
    k: Annotated[int, Field(ge=1, le=100)] = 10
    filter: Filter = Field(default_factory=dict)
    exclude: Annotated[tuple[Id, ...], Field(max_length=1000)] = ()
    deadline_ms: Annotated[float, Field(ge=20, le=30_000)] = 1_000


class Reason(Reply):
    """Why an item is there: the source, and the topic or liked item that led to it."""

    source: Literal["content", "similar", "collaborative", "popular"]
    text: str = Field(description="A sentence to show.")
    topic: str | None = None
    item_id: str | None = None
    share: float = Field(description="Share of this source in the item's positive score, 0 to 1.")


class Recommendation(Reply):
    """An item as shown to the caller."""

    id: str
    title: str
    attributes: dict[str, AttributeValue]
    relevance: float = Field(description="0 to 1, 1 for the best item of this answer; comparable within one answer only.")
    reasons: tuple[Reason, ...]


class UsedTopic(Reply):
    """A topic that was searched for, and who proposed it."""

    text: str
    interest: str | None = None
    source: Literal["llm", "cooccurrence", "caller"]
    model: str | None = None


class Degradation(Reply):
    """A stage that failed or was late, and what answered in its place."""

    stage: Stage
    reason: str
    substitute: str


class RecommendationResponse(Reply):
    """The answer, with everything that explains it."""

    request_id: str
    rung: Rung
    items: tuple[Recommendation, ...]
    topics: tuple[UsedTopic, ...]
    topics_pending: bool = Field(
        default=False, description="The LLM is being asked behind this answer; the same request again has its topics."
    )
    degraded: tuple[Degradation, ...]
    unknown_items: tuple[str, ...] = Field(
        default=(), description="Ids of the request that the catalogue does not hold; they were ignored."
    )
    timings_ms: dict[str, float] = Field(description="Milliseconds per stage, and `total`.")


class SimilarResponse(Reply):
    """Items like the given one."""

    request_id: str
    item: Item
    items: tuple[Recommendation, ...]
    degraded: tuple[Degradation, ...]
    timings_ms: dict[str, float]


class RowResult(Reply):
    """What became of one row of a bulk import (an NDJSON line of the answer)."""

    row: int = Field(description="Line number in the request, from 1.")
    status: Literal["stored", "refused"]
    id: str | None = None
    reason: str | None = Field(default=None, description="For a refused row: what is wrong, the value and the remedy.")


class EventsAccepted(Reply):
    """Answer to events sent as JSON."""

    stored: int
    duplicates: int = Field(description="Events that were there already (same user, item, type and time); nothing was stored twice.")


class StoredEvent(Reply):
    """An event as exported."""

    user_id: str
    item_id: str
    type: EventType
    time: datetime
    value: float | None = None


class EventPage(Reply):
    """A page of all events in the order of their storage; for the offline jobs."""

    events: tuple[StoredEvent, ...]
    next_cursor: str | None = None


class User(Reply):
    """What is stored of a user."""

    user_id: str
    events: tuple[StoredEvent, ...] = Field(description="The newest first, at most 200.")
    event_count: int
    liked_items: tuple[str, ...] = Field(description="The items that recommendations for this user start from, newest first.")


class SystemStatus(Reply):
    """What the web page shows of the system."""

    items: int | None
    events: int | None
    expander: str | None = Field(description="The configured backend and model; null when it does not answer.")
    encoder: str | None
    ladder: str = Field(description="The hash of the ladder artefact in use.")
