"""Answers a question from a view: allow, propose, score and fuse, explain. Knows nothing of HTTP and storage.

Every source with something to say proposes its own best rows; every proposed row is then scored exactly in every one of them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from retriever.errors import EmbeddingInvalid, NothingToRetrieve
from retriever.filters import Expression
from retriever.fusion import first_places, fuse, union
from retriever.items import Doubles, Item, Rows
from retriever.nearness import A, Space
from retriever.sources import Query, Source
from servicekit.context import stage


@dataclass(frozen=True)
class Question:
    """What to look for; `weights` holds a weight >= 0 for each source that shall speak."""

    weights: Mapping[str, float]
    queries: Sequence[Query] = ()
    liked: Sequence[str] = ()
    exclude: Sequence[str] = ()
    filter: Expression | None = None
    k: int = 20


@dataclass(frozen=True)
class Said:
    """What one source said of a candidate; `rank` counts from 1 in the source's own list and is None beyond it."""

    score: float
    standard_score: float
    rank: int | None
    found_by: str | None


@dataclass(frozen=True)
class Found:
    """A candidate with its fused score."""

    item: Item
    score: float
    said: Mapping[str, Said]


@dataclass(frozen=True)
class Answer:
    """Candidates, best first. `searched` rows passed filter and exclusions, `scored` of them were proposed.

    `fingerprint` is that of the content space, None while there is none.
    """

    found: Sequence[Found]
    unknown_liked: Sequence[str]
    searched: int
    scored: int
    fingerprint: str | None


class Stock(Protocol[A]):
    """Items and spaces at one moment, as `retrieve` asks them. Rows are numbers of items, and mean nothing after the request.

    `retriever.view.View` is one over this machine's index, `retriever.backends.milvus.stock.MilvusStock` one over Milvus.
    """

    @property
    def count(self) -> int:
        """More than the largest row so far."""

    @property
    def content(self) -> Space[A] | None: ...

    @property
    def fingerprint(self) -> str | None:
        """Of the content space."""

    def __len__(self) -> int:
        """Items."""

    def numbers(self, ids: Sequence[str], /) -> Rows:
        """The rows of those `ids` that have a vector in the content space, each once, in their order."""

    def ids(self, rows: Sequence[int], /) -> Sequence[str]: ...

    def items(self, rows: Sequence[int], /) -> Mapping[int, Item]:
        """Those of `rows` that are still there."""

    def allowed(self, expression: Expression | None, excluded: Sequence[str], /) -> A:
        """The items with a vector in the content space that meet `expression` and whose ids are not `excluded`."""

    def sources(self, queries: Sequence[Query], liked: Rows, /) -> Mapping[str, Callable[[], Source[A] | None]]:
        """What makes each source for the question; None when it has nothing to go by."""


def retrieve(view: Stock[A], question: Question, proposals: int) -> Answer:
    """The best `question.k` items; each source proposes `proposals` rows.

    Raises NothingToRetrieve when no source with a positive weight has anything to go by, EmbeddingInvalid for a wrong dimension.
    """
    with stage("filter"):
        liked = view.numbers(question.liked)
        allowed = view.allowed(question.filter, (*question.liked, *question.exclude))
    with stage("prepare"):
        sources = speaking(view, question, liked)
    with stage("search"):
        proposed = {name: source.top(allowed, proposals) for name, source in sources.items()}
        pool = allowed.rows() if allowed.count <= proposals else union(proposed.values(), view.count)
    with stage("score"):
        fused = fuse(sources, question.weights, pool)
        best = first_places(fused.scores, lambda places: view.ids(pool[places].tolist()), question.k)
    with stage("explain"):
        rows = pool[best]
        said = {
            name: _said(source, rows, fused.raw[name][best], fused.standard[name][best], proposed[name][0])
            for name, source in sources.items()
        }
        items = view.items(rows.tolist())
        found = [
            Found(items[row], score, {name: of[at] for name, of in said.items()})
            for at, (row, score) in enumerate(zip(rows.tolist(), fused.scores[best].tolist(), strict=True))
            if row in items
        ]
    known = set(view.ids(liked.tolist()))
    unknown = [name for name in dict.fromkeys(question.liked) if name not in known]
    return Answer(found, unknown, allowed.count, len(pool), view.fingerprint)


def speaking(view: Stock[A], question: Question, liked: Rows) -> dict[str, Source[A]]:
    """The sources that have a positive weight and something to go by."""
    _check_dimensions(view, question.queries)
    made = view.sources(question.queries, liked)
    wanted = {name: make() for name, make in made.items() if question.weights.get(name, 0.0) > 0}
    if sources := {name: source for name, source in wanted.items() if source is not None}:
        return sources
    raise NothingToRetrieve(_why_nothing(view, question))


def _said(source: Source[A], rows: Rows, raw: Doubles, standard: Doubles, own: Rows) -> list[Said]:
    finders = source.found_by(rows) if len(rows) else []
    rank_of = dict(zip(own.tolist(), range(1, len(own) + 1), strict=True))
    ranks = map(rank_of.get, rows.tolist())
    return [Said(float(raw[at]), float(standard[at]), rank, finder) for at, (rank, finder) in enumerate(zip(ranks, finders, strict=True))]


def _check_dimensions(view: Stock[A], queries: Sequence[Query]) -> None:
    dimension = view.content.dimension if view.content else 0
    for query in queries:
        if dimension and len(query.embedding) != dimension:
            raise EmbeddingInvalid(
                f"The query {query.label!r} has {len(query.embedding)} numbers, the content space has {dimension}; "
                "embed it with the encoder that embedded the items."
            )


def _why_nothing(view: Stock[A], question: Question) -> str:
    if not len(view):
        return "The catalogue is empty; add items with PUT /v1/items first."
    wanted = ", ".join(f"{name} {weight:g}" for name, weight in question.weights.items()) or "none"
    known = len(view.numbers(question.liked))
    return (
        f"No source can answer (weights: {wanted}; {len(question.queries)} queries, {known} known of {len(question.liked)} liked ids). "
        "Send a positive weight for content with queries, for similar or collaborative with known ids in liked, or for popular once "
        "its space is uploaded."
    )
