"""What can be searched for, and what comes of it. Knows nothing of HTTP and of searching."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from retriever.backends.protocol import CONTENT
from retriever.filters import Expression
from retriever.items import Floats
from retriever.rankfusion import Hit, Values
from servicekit.deadline import Deadline


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    """One space asked for what is near to each of `queries`, or to examples.

    `queries` is `(rows, dim)`, or flat `(rows * dim,)` where only the space knows the dimension; of any length but 0.
    """

    queries: Floats | None = None
    positive: Sequence[str] = ()
    negative: Sequence[str] = ()
    space: str = CONTENT
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Fusion:
    """The searches become one; each contributes a list of `depth` hits."""

    values: Values
    depth: int


@dataclass(frozen=True, slots=True)
class Grouping:
    """At most `limit` hits of each value of `attribute`."""

    attribute: str
    limit: int


@dataclass(frozen=True, slots=True)
class Diversity:
    """Picks from the `pool` best by marginal relevance."""

    trade: float
    pool: int


@dataclass(frozen=True, slots=True, eq=False)
class Inquiry:
    """Searches by name, and what holds for all of them."""

    searches: Mapping[str, Search]
    k: int
    filter: Expression | None = None
    exclude: Sequence[str] = ()
    fusion: Fusion | None = None
    grouping: Grouping | None = None
    diversity: Diversity | None = None
    effort: int | None = None
    exact: bool = False
    min_generation: int = 0
    fingerprint: str | None = None
    deadline: Deadline | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What was found for one row, best first; `search` is None when fused."""

    search: str | None
    row: int
    hits: Sequence[Hit]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One result per row of each search. Every write up to `generation` was seen; `unknown` examples could not be used."""

    generation: int
    results: Sequence[Result]
    unknown: Sequence[str]
    plan: Sequence[Mapping[str, object]]
