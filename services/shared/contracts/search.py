"""What `POST /v1/search` of the retriever takes and gives. Knows nothing of FAISS."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from contracts.filters import Filter
from contracts.items import AttributeName, Item
from contracts.wire import Embedding, Id, Reply, Wire

Matrix = Annotated[str, Field(min_length=1)] | Annotated[tuple[Embedding, ...], Field(min_length=1, max_length=10_000)]
"""Embeddings `(rows, dim)`: a list of them, or base64 of little-endian float32, row after row."""


class Search(Wire):
    """One space asked for the nearest items to each of some embeddings, or to examples."""

    name: Annotated[str, Field(min_length=1, max_length=64)] | None = Field(
        default=None, description="Comes back with what it found; its place (0, 1, ...) when left out."
    )
    space: Annotated[str, Field(min_length=1, max_length=64)] = "content"
    embeddings: Matrix | None = None
    positive: Annotated[tuple[Id, ...], Field(max_length=500)] = Field(
        default=(), description="Instead of embeddings: ids of items to be near to. They do not come back themselves."
    )
    negative: Annotated[tuple[Id, ...], Field(max_length=500)] = Field(default=(), description="Ids of items to be far from.")
    weight: Annotated[float, Field(gt=0, le=1000)] = Field(default=1.0, description="Of this search in a fusion.")

    @model_validator(mode="after")
    def _asks_one_thing(self) -> Self:
        if (self.embeddings is None) == (not self.positive and not self.negative):
            raise ValueError("needs either embeddings, or ids in positive or negative; give one of the two")
        return self


class ReciprocalRanks(Wire):
    """Fuses by 1 / (constant + rank) (Cormack, Clarke and Büttcher 2009)."""

    method: Literal["rrf"]
    constant: Annotated[float, Field(gt=0, le=10_000)] = 60.0
    depth: Annotated[int, Field(ge=1, le=1000)] = Field(default=100, description="How long each search's own list is; at least k.")


class WeightedScores(Wire):
    """Fuses by the scores, of each search scaled to 0 (the last of its list) to 1 (the first)."""

    method: Literal["weighted"]
    depth: Annotated[int, Field(ge=1, le=1000)] = Field(default=100, description="How long each search's own list is; at least k.")


class GroupBy(Wire):
    """At most `limit` hits with the same value of `attribute`, such as two of an author."""

    attribute: AttributeName
    limit: Annotated[int, Field(ge=1, le=1000)] = 1


class Diversity(Wire):
    """Maximal marginal relevance (Carbonell and Goldstein 1998): hits that are unlike those before them."""

    trade: Annotated[float, Field(ge=0, le=1)] = Field(default=0.7, alias="lambda", description="1: relevance alone, 0: unlikeness alone.")
    pool: Annotated[int, Field(ge=1, le=1000)] = Field(default=100, description="How many of the best hits are picked from; at least k.")


class SearchRequest(Wire):
    """Searches; without `fuse` each answers for itself. With it all have the same number of embeddings, or one."""

    searches: Annotated[tuple[Search, ...], Field(min_length=1, max_length=16)]
    fuse: Annotated[ReciprocalRanks | WeightedScores, Field(discriminator="method")] | None = None
    k: Annotated[int, Field(ge=1, le=1000)] = 10
    filter: Filter = Field(default_factory=dict)
    exclude: Annotated[tuple[Id, ...], Field(max_length=10_000)] = ()
    group_by: GroupBy | None = None
    mmr: Diversity | None = None
    effort: Annotated[int, Field(ge=1, le=10_000)] | None = Field(
        default=None, description="Candidates an approximate index looks at (HNSW's ef, IVF's probes); the space's own when left out."
    )
    exact: bool = Field(default=False, description="No approximation at all.")
    deadline_ms: Annotated[float, Field(gt=0, le=60_000)] | None = Field(default=None, description="A later answer is a problem (504).")
    min_generation: Annotated[int, Field(ge=0, lt=2**63)] = Field(
        default=0, description="Answers from this generation or a later one; waits for it until the deadline, at most a second without one."
    )
    fingerprint: Annotated[str, Field(max_length=500)] | None = Field(
        default=None, description="Of the embeddings; refused when a searched space has another."
    )
    explain: bool = Field(default=False, description="Tells how it was searched, in `plan`.")
    with_items: bool = Field(default=False, description="Adds title and attributes to each hit.")


class Contribution(Reply):
    """What one search gave to a fused hit."""

    rank: int
    score: float = Field(description="Cosine in the space of that search.")
    added: float = Field(description="Its share of the fused score.")


class SearchHit(Reply):
    """A found item. `score` is the cosine, or the sum of the contributions."""

    id: str
    score: float
    contributions: dict[str, Contribution] | None = None
    item: Item | None = None


class SearchResult(Reply):
    """What was found for one embedding, best first (with `mmr` in the order picked)."""

    search: str | None = Field(description="Name of the search; null when fused.")
    row: int = Field(description="Which of the embeddings, from 0.")
    hits: tuple[SearchHit, ...]


class SearchResponse(Reply):
    """One result for each embedding of each search, or for each embedding when fused."""

    generation: int = Field(description="The answer holds every write up to this one.")
    results: tuple[SearchResult, ...]
    unknown: tuple[str, ...] = Field(
        default=(), description="Examples that are no items or have no vector in the space; they were ignored."
    )
    plan: tuple[dict[str, Any], ...] | None = None
    timings_ms: dict[str, float]
