"""What the expander takes and gives. Knows nothing of LLMs."""

from typing import Annotated, Literal

from pydantic import Field

from contracts.wire import Reply, Text, Wire

ExpansionSource = Literal["llm", "cooccurrence", "none"]
"""Who proposed the topics: an LLM, the catalogue's own co-occurring subjects, or nobody (nothing matched)."""


class ExpandRequest(Wire):
    """Interests to expand into topics."""

    interests: Annotated[tuple[Text, ...], Field(min_length=1, max_length=10)]
    max_topics: Annotated[int, Field(ge=1, le=5)] = 5
    deadline_ms: Annotated[float, Field(gt=0, le=60_000)] = Field(
        default=2_000, description="After this many milliseconds the fallback answers instead of the LLM."
    )


class Expansion(Reply):
    """An interest, its topics, and how they were made."""

    interest: str
    topics: tuple[Text, ...]
    source: ExpansionSource
    model: str = Field(description="The LLM's name, or the hash of the co-occurrence artefact.")
    prompt_version: str | None = None
    cached: bool = False
    fallback_reason: str | None = Field(default=None, description="Why the configured backend did not answer, when it did not.")


class ExpandResponse(Reply):
    """One expansion per interest, in order."""

    expansions: tuple[Expansion, ...]
    degraded: bool = Field(description="True when a substitute answered for the configured backend.")


class ExpanderIdentity(Reply):
    """`GET /v1/backend`: who proposes topics here."""

    backend: str
    model: str = Field(description="The LLM's name, or the hash of the co-occurrence artefact.")
    fallback: str | None = Field(description="The hash of the co-occurrence artefact that stands in for the LLM; null when none is loaded.")
