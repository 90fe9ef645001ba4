"""What the retriever takes and gives. Knows nothing of FAISS."""

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from contracts.filters import Filter
from contracts.items import AttributeName, AttributeValue, Item
from contracts.wire import MAX_DIMENSION, Embedding, Id, LongText, Reply, Text, Wire

Source = Literal["content", "similar", "collaborative", "popular"]
"""content: near the stated interests; similar: text near the liked items; collaborative: liked together; popular: the prior."""


class StoredItem(Wire):
    """An item with its embedding in the content space; also a line of a bulk write (NDJSON)."""

    item: Item
    embedding: Embedding


class UpsertRequest(Wire):
    """Items to add or replace; all or none are stored. Of an id that comes twice the last one wins."""

    fingerprint: Annotated[str, Field(min_length=1, max_length=500)]
    items: Annotated[tuple[StoredItem, ...], Field(min_length=1, max_length=1000)]


class UpsertResponse(Reply):
    """How many of the items were new."""

    created: int
    replaced: int
    duplicates: int = Field(default=0, description="Items left out, because one with the same id came later in the same batch.")
    generation: int = Field(
        default=0, description="Of the catalogue after the write; send it as `min_generation` to read what was written."
    )


class DeleteRequest(Wire):
    """Ids of items to delete."""

    ids: Annotated[tuple[Id, ...], Field(min_length=1, max_length=10_000)]


class DeleteResponse(Reply):
    """What was deleted; ids that no item has are told, and are no error."""

    deleted: int
    unknown: tuple[str, ...] = ()
    generation: int


class ItemPatch(Wire):
    """A merge patch (RFC 7396): what is not named stays, null removes. The embeddings stay as they are."""

    title: Text = Field(default="", description="Can not be removed.")
    text: LongText | None = None
    attributes: Annotated[dict[AttributeName, AttributeValue | None], Field(max_length=64)] | None = None

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if not self.model_fields_set & {"title", "text", "attributes"}:
            raise ValueError("names nothing to change; give at least one of title, text and attributes")
        return self


class PatchLine(ItemPatch):
    """A line of a bulk patch (NDJSON)."""

    id: Id


class PatchResponse(Reply):
    """How many items were patched."""

    patched: int
    generation: int


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
    kind: str = Field(description="neighbours, vectors, scores or empty of an uploaded space; of a vector space the kind of its index.")
    rows: int
    unknown: int = Field(
        default=0, description="Uploaded ids (rows and neighbours) that are not in the catalogue; kept until the item arrives."
    )
    dimension: int | None = None
    fingerprint: str | None = None
    role: Literal["content"] | None = Field(default=None, description="`content`: searches use it unless they name another.")
    previous: bool = Field(default=False, description="It had the role before the last cut-over; to roll back, cut over to it.")
    missing: int | None = Field(default=None, description="Items without a vector in this space.")
    segments: int | None = Field(default=None, description="Sealed parts of the index.")
    unsealed: int | None = Field(default=None, description="Vectors that are searched exactly until they are sealed.")
    dead: int | None = Field(default=None, description="Overwritten or deleted vectors that the next merge clears away.")


SpaceName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]


class NewSpace(Wire):
    """A vector space to fill beside the one that is served."""

    name: SpaceName
    fingerprint: Annotated[str, Field(min_length=1, max_length=500)]
    dimension: Annotated[int, Field(ge=1, le=MAX_DIMENSION)]
    kind: Annotated[str, Field(max_length=64)] = Field(default="hnsw", description="How it is indexed; the README has the table.")


class VectorLine(Wire):
    """A line of an upload of vectors (NDJSON)."""

    id: Id
    embedding: Embedding


class ContentRole(Wire):
    """Where the role `content` shall point."""

    space: SpaceName
    allow_missing: bool = Field(default=False, description="Cut over although items have no vector there; searches will not find those.")


class RoleStatus(Reply):
    """Where the role `content` points."""

    space: str
    generation: int


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
