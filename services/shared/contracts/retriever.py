"""What the retriever takes and gives. Knows nothing of FAISS."""

from typing import Annotated, Literal

from pydantic import Field

from contracts.items import AttributeValue, Filter, Item
from contracts.wire import Embedding, Id, Reply, Text, Wire

Source = Literal["content", "similar", "collaborative", "popular"]
"""content: near the stated interests; similar: text near the liked items; collaborative: liked together; popular: the prior."""


class StoredItem(Wire):
    """An item with its embedding in the content space."""

    item: Item
    embedding: Embedding


class UpsertRequest(Wire):
    """Items to add or replace; all or none are stored."""

    fingerprint: str
    items: Annotated[tuple[StoredItem, ...], Field(min_length=1, max_length=1000)]


class UpsertResponse(Reply):
    """How many of the items were new."""

    created: int
    replaced: int


class ItemPage(Reply):
    """A page of items in the order of their ids, or of relevance when `query` was given."""

    items: tuple[Item, ...]
    total: int = Field(description="All items of the catalogue.")
    next_cursor: str | None = None


class SpaceRow(Wire):
    """One line of a space upload (NDJSON): exactly one of `neighbours`, `embedding` and `score` is given, the same on every line."""

    id: Id
    neighbours: tuple[tuple[Id, float], ...] | None = None
    embedding: Embedding | None = None
    score: float | None = None


class SpaceStatus(Reply):
    """A named space: what it holds now."""

    name: str
    kind: Literal["vectors", "neighbours", "scores", "empty"]
    rows: int
    unknown: int = Field(
        default=0, description="Uploaded ids (rows and neighbours) that are not in the catalogue; kept until the item arrives."
    )
    dimension: int | None = None
    fingerprint: str | None = None


class Query(Wire):
    """One question to the content space."""

    label: Text = Field(description="The interest or topic; comes back with the candidates it found.")
    embedding: Embedding
    weight: Annotated[float, Field(gt=0, le=100)] = 1.0


class RetrieveRequest(Wire):
    """Query embeddings and/or liked items; at least one source must have a positive weight."""

    queries: Annotated[tuple[Query, ...], Field(max_length=64)] = ()
    liked: Annotated[tuple[Id, ...], Field(max_length=500)] = ()
    weights: dict[Source, Annotated[float, Field(ge=0, le=1000)]] = Field(description="Weight of each source's standard score.")
    k: Annotated[int, Field(ge=1, le=1000)] = 20
    exclude: Annotated[tuple[Id, ...], Field(max_length=10_000)] = ()
    filter: Filter = Field(default_factory=dict)
    fingerprint: str | None = Field(default=None, description="Of the query embeddings; refused when it is not the space's.")


class SourceScore(Reply):
    """What one source said of a candidate."""

    score: float = Field(description="Cosine for content and similar, summed neighbour weight for collaborative, prior for popular.")
    standard_score: float = Field(description="Standard deviations above the mean of the space.")
    rank: int | None = Field(default=None, description="Rank in this source's own list, from 1; null beyond its length.")
    found_by: str | None = Field(default=None, description="The query label or liked item id that contributed most.")


class Candidate(Reply):
    """An item with the fused score and what each source said."""

    id: str
    title: str
    attributes: dict[str, AttributeValue]
    score: float
    sources: dict[Source, SourceScore]


class RetrieveResponse(Reply):
    """Candidates, best first."""

    candidates: tuple[Candidate, ...]
    unknown_liked: tuple[str, ...] = Field(default=(), description="Liked ids that are not in the catalogue.")
    fingerprint: str | None
    searched: int = Field(description="Items that passed the filter and exclusions.")
    timings_ms: dict[str, float]
