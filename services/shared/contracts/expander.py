"""What the expander takes and gives. Knows nothing of LLMs."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from contracts.wire import Id, LongText, Reply, Text, Wire

ExpansionSource = Literal["llm", "cooccurrence", "none"]
"""Who proposed the topics: an LLM, the catalogue's own co-occurring subjects, or nobody (nothing matched)."""

ExpansionMode = Literal["wait", "async", "off"]
"""Whether the LLM is waited for (until the deadline), asked behind the answer, or left out. What is kept answers at once in all three."""

Locale = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$", max_length=35)]
"""A language tag (BCP 47), such as `de-AT`."""


CALLER_HEADER = "x-warmstart-caller"
"""Request header: who is charged for the LLM's tokens. Any name that stands for one API key."""


class HistoryItem(Wire):
    """One item that the user touched, as far as it is known."""

    title: Text
    stars: Annotated[float, Field(ge=0, le=5)] | None = Field(default=None, description="What the user gave it, 0 to 5.")
    review: LongText | None = Field(default=None, description="What the user wrote about it.")


class ExpandRequest(Wire):
    """Interests to expand into topics; or, without one, a history."""

    interests: Annotated[tuple[Text, ...], Field(max_length=10)] = ()
    history: Annotated[tuple[HistoryItem, ...], Field(max_length=200)] = Field(
        default=(), description="Told to the LLM with every interest; alone, it gets one expansion whose interest is empty."
    )
    locale: Locale | None = Field(default=None, description="Language of the interests; topics are in English, as the catalogue is.")
    user_id: Id | None = Field(default=None, description="Whose words these are: what is kept of them goes when this user is erased.")
    max_topics: Annotated[int, Field(ge=1, le=5)] = 5
    mode: ExpansionMode = Field(
        default="wait",
        description="`wait`: for the LLM, until the deadline. `async`: answer at once from what is kept or the catalogue, and ask the LLM"
        " behind the answer. `off`: do not ask the LLM.",
    )
    deadline_ms: Annotated[float, Field(gt=0, le=60_000)] = Field(
        default=2_000, description="After this many milliseconds the fallback answers instead of the LLM."
    )

    @model_validator(mode="after")
    def _says_something(self) -> "ExpandRequest":
        if not self.interests and not self.history:
            raise ValueError("has neither interests nor a history; send at least one of them")
        return self


class Grounding(Reply):
    """What a topic is in the catalogue."""

    topic: str
    label: str | None = Field(description="The catalogue's own word for it; null when the catalogue has none.")
    kind: Literal["subject", "author"] | None = Field(description="What the label is; null when there is none.")


class Expansion(Reply):
    """An interest, its topics, and how they were made."""

    interest: str
    topics: tuple[Text, ...]
    source: ExpansionSource
    model: str = Field(description="The LLM's name, or the hash of the co-occurrence artefact.")
    prompt_version: str | None = None
    cached: bool = False
    stale: bool = Field(default=False, description="True when what was kept is past its time and is being made anew.")
    pending: bool = Field(
        default=False, description="True when the LLM is being asked behind this answer: the next request has its topics."
    )
    grounding: tuple[Grounding, ...] = Field(default=(), description="One per topic, in order.")
    fallback_reason: str | None = Field(default=None, description="Why the configured backend did not answer, when it did not.")


class ExpandResponse(Reply):
    """One expansion per interest, in order."""

    expansions: tuple[Expansion, ...]
    degraded: bool = Field(
        description="True when a substitute answered because the LLM failed or was late; not when `mode` says not to wait for it."
    )


class PrecomputeRequest(Wire):
    """Interests of nobody in particular, to be expanded ahead of traffic."""

    interests: Annotated[tuple[Text, ...], Field(min_length=1, max_length=1_000)]
    locale: Locale | None = None
    deadline_ms: Annotated[float, Field(gt=0, le=600_000)] = Field(
        default=60_000, description="After this many milliseconds the rest is reported as `pending`; ask again."
    )


class Precomputed(Reply):
    """What became of one interest: `kept` (was there), `made`, `failed` (with the reason) or `pending` (no time left)."""

    interest: str
    status: Literal["kept", "made", "failed", "pending"]
    reason: str | None = None


class PrecomputeResponse(Reply):
    """One row per interest, in order."""

    results: tuple[Precomputed, ...]


class ErasedExpansions(Reply):
    """Answer to an erasure."""

    erased: int = Field(description="Expansions that were kept of the user's words and are not any more.")


class EnrichItem(Wire):
    """What is known of an item."""

    id: Id
    title: Text
    text: LongText | None = None
    attributes: dict[str, str | tuple[Text, ...]] = Field(default_factory=dict, description="Words about it, such as authors and genres.")


class EnrichRequest(Wire):
    """Items to describe."""

    items: Annotated[tuple[EnrichItem, ...], Field(min_length=1, max_length=100)]
    deadline_ms: Annotated[float, Field(gt=0, le=600_000)] = 60_000


class Enrichment(Reply):
    """An item's subject tags (3 to 8) and a one-line description; none of them when `reason` says why."""

    id: str
    tags: tuple[Text, ...] = ()
    description: Text | None = None
    model: str | None = None
    prompt_version: str | None = None
    reason: str | None = Field(default=None, description="Why there is no enrichment; null when there is one.")
    retry: bool = Field(
        default=False, description="True when the LLM could not answer now: ask again later. False when what it answered was unusable."
    )


class EnrichResponse(Reply):
    """One enrichment per item, in order."""

    enrichments: tuple[Enrichment, ...]


class StructuredOutput(Reply):
    """What the served model does with a JSON schema, and how that is known."""

    found: Literal["honoured", "ignored", "refused", "unknown"] = Field(
        description="By the canary at start; `unknown` until it is answered."
    )
    profile: str = Field(description="What the runtime profile says.")
    sent: bool = Field(description="Whether `response_format` is sent.")


class ExpanderIdentity(Reply):
    """`GET /v1/backend`: who proposes topics here."""

    backend: str
    model: str = Field(description="The LLM's name, or the hash of the co-occurrence artefact.")
    fallback: str | None = Field(description="The hash of the co-occurrence artefact that stands in for the LLM; null when none is loaded.")
    profile: str | None = Field(default=None, description="Runtime profile of the LLM; null without one.")
    prompt_version: str | None = None
    enrichment_version: str | None = Field(default=None, description="Version of the prompt that items are enriched with.")
    structured_output: StructuredOutput | None = None
