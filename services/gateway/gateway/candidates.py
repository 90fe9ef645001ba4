"""What the gateway asks of the retriever and what comes back, as domain values. Knows nothing of HTTP."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

Filter = Mapping[str, Any]
"""Attribute name -> a scalar, {"gte": ..., "lte": ...}, {"any": [...]} or {"none": [...]}; all must hold."""


@dataclass(frozen=True, slots=True)
class Query:
    """One question to the content space; `embedding` is base64 of little-endian float32, as it goes over the wire."""

    label: str
    embedding: str
    weight: float


@dataclass(frozen=True, slots=True)
class Search:
    """One call of the retriever."""

    weights: Mapping[str, float]
    k: int
    queries: tuple[Query, ...] = ()
    liked: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    filter: Filter = field(default_factory=dict)
    fingerprint: str | None = None


@dataclass(frozen=True, slots=True)
class SourceScore:
    """What one source said of a candidate; `standard_score` in standard deviations above the mean of the space."""

    standard_score: float
    found_by: str | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """An item with the fused score and what each source said."""

    id: str
    title: str
    attributes: Mapping[str, Any]
    score: float
    sources: Mapping[str, SourceScore]


@dataclass(frozen=True, slots=True)
class Found:
    """Candidates, best first, the weights they were fused with, and the liked ids that the catalogue does not hold.

    Without weights no source had anything to go by: an empty catalogue, unknown items only, a space that was never uploaded.
    """

    candidates: tuple[Candidate, ...]
    weights: Mapping[str, float]
    unknown_liked: tuple[str, ...] = ()

    def without(self, item_id: str) -> "Found":
        """The same without one item."""
        return replace(self, candidates=tuple(one for one in self.candidates if one.id != item_id))
