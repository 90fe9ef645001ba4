"""Answers a search from a backend: ask, group, fuse, diversify. Knows nothing of HTTP, and not how a backend finds the nearest.

Parts of it that have a file of their own: examples.py, rankfusion.py, grouping.py, diversity.py.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from retriever import diversity, examples, rankfusion
from retriever.backends.protocol import CONTENT, Ask, Backend, SpaceIdentity
from retriever.errors import DeadlineMissed, EmbeddingInvalid, FingerprintMismatch, NothingToRetrieve, SearchInvalid
from retriever.filters import ID
from retriever.grouping import Groups
from retriever.inquiry import Diversity, Fusion, Grouping, Inquiry, Outcome, Result, Search
from retriever.items import Floats
from retriever.rankfusion import Hit
from servicekit import context
from servicekit.deadline import Deadline

MOST_HITS = 100_000
"""Of one answer; a larger one is refused before it is searched for."""
NOWHERE = 1e-30
"""An embedding shorter than this, or longer than its inverse, has no direction that float32 could tell."""


class Course:
    """The stages of one search, against its deadline."""

    def __init__(self, deadline: Deadline | None) -> None:
        self._deadline, self._stage = deadline, "queue"
        self.check()

    def check(self) -> None:
        """Raises DeadlineMissed once the deadline has passed."""
        if self._deadline is not None and self._deadline.expired:
            raise DeadlineMissed(self._stage)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        self._stage = name
        with context.stage(name):
            yield
        self.check()


def search(backend: Backend, inquiry: Inquiry) -> Outcome:
    """The results of `inquiry`.

    Raises SearchInvalid when its parts do not fit together, EmbeddingInvalid, FingerprintMismatch, SpaceUnknown, NothingToRetrieve when
    none of a search's examples can be used, DeadlineMissed naming the stage, and what the backend's search raises.
    """
    course = Course(inquiry.deadline)
    with course.stage("prepare"):
        asked = _Asked(backend, inquiry, course)
    with course.stage("search"):
        found = {name: asked.lists(name, ask) for name, ask in asked.asks.items()}
    if inquiry.fusion:
        with course.stage("fuse"):
            results = asked.fused(found, inquiry.fusion)
    else:
        results = [Result(name, row, hits) for name, lists in found.items() for row, hits in enumerate(lists)]
    if inquiry.diversity:
        with course.stage("diversify"):
            results = [asked.diversified(result, inquiry.diversity) for result in results]
    results = [replace(result, hits=result.hits[: inquiry.k]) if len(result.hits) > inquiry.k else result for result in results]
    return Outcome(asked.generation(), results, tuple(asked.unknown), asked.plan)


class _Asked:
    """What one inquiry asks of the backend."""

    def __init__(self, backend: Backend, inquiry: Inquiry, course: Course) -> None:
        self._backend, self._inquiry, self._course = backend, inquiry, course
        self._generations: list[int] = []
        self.unknown: dict[str, None] = {}
        self.plan: list[dict[str, object]] = []
        self.spaces = {name: backend.space(of.space) for name, of in inquiry.searches.items()}
        for name, identity in self.spaces.items():
            self._check_fingerprint(name, identity)
        queries = {name: self._queries(name, of, self.spaces[name]) for name, of in inquiry.searches.items()}
        self._check_rows({name: len(of) for name, of in queries.items()})
        liked = {name: (*of.positive, *of.negative) for name, of in inquiry.searches.items()}
        if inquiry.fusion:  # a hit is one search's as much as another's, so examples stay out of all of them
            liked = dict.fromkeys(liked, tuple(one for of in liked.values() for one in of))
        self.asks = {name: self._ask(of, self.spaces[name], (*inquiry.exclude, *liked[name])) for name, of in queries.items()}

    def generation(self) -> int:
        """The oldest of the answers."""
        return min(self._generations, default=self._backend.generation)

    def lists(self, name: str, ask: Ask) -> list[list[Hit]]:
        """For each row its hits, best first: `ask.n` of them, or all there are."""
        if self.spaces[name] is None:  # an empty store
            return [[] for _ in range(len(ask.queries))]
        if (grouping := self._inquiry.grouping) is None:
            return self._hits(name, ask)
        first = replace(ask, n=2 * ask.n)
        return [
            self._grouped(name, replace(ask, queries=ask.queries[row : row + 1]), hits, first.n, grouping)
            for row, hits in enumerate(self._hits(name, first))
        ]

    def fused(self, found: Mapping[str, Sequence[Sequence[Hit]]], fusion: Fusion) -> list[Result]:
        """The lists of all searches as one for each row; a search with one row speaks for every row."""
        weights = {name: of.weight for name, of in self._inquiry.searches.items()}
        results = []
        for row in range(max(map(len, found.values()))):
            lists = {name: of[row] if len(of) > 1 else of[0] for name, of in found.items()}
            hits = rankfusion.fuse(lists, weights, fusion.values)
            if grouping := self._inquiry.grouping:
                hits = Groups(grouping.attribute, grouping.limit).admitted(hits, self._backend.items([hit.id for hit in hits]))
            results.append(Result(None, row, hits))
        return results

    def diversified(self, result: Result, wanted: Diversity) -> Result:
        """The hits in the order of their marginal relevance; likeness is that in the space of the search, or of the first when fused."""
        hits = result.hits[: max(wanted.pool, self._inquiry.k)]
        identity = self.spaces[result.search] if result.search is not None else next(iter(self.spaces.values()))
        if not hits or identity is None:
            return result
        scores = [hit.score for hit in hits]
        relevance = np.array(scores if result.search is not None else rankfusion.min_max(scores), np.float64)
        vectors = self._backend.vectors(identity.name, [hit.id for hit in hits])
        picked = diversity.marginal_relevance(relevance, vectors, self._inquiry.k, wanted.trade)
        return replace(result, hits=[hits[place] for place in picked])

    def _hits(self, name: str, ask: Ask) -> list[list[Hit]]:
        self._course.check()
        found = self._backend.search(ask)
        self._generations.append(found.generation)
        self.plan += [{"search": name, **step} for step in found.plan]
        return [list(map(Hit, ids, scores.tolist())) for ids, scores in zip(found.ids, found.scores, strict=True)]

    def _grouped(self, name: str, ask: Ask, hits: list[Hit], n: int, grouping: Grouping) -> list[Hit]:
        """Admits `ask.n` hits for one row; `hits` are its `n` best.

        While that is not enough it asks for what is in no full group and was not admitted yet. Nothing better is passed over: all of it is
        worse than the last hit seen, and what was refused stays refused. So the hits are those of one endless list.
        """
        groups, kept = Groups(grouping.attribute, grouping.limit), list[Hit]()
        while True:
            kept += groups.admitted(hits, self._backend.items([hit.id for hit in hits]))
            if len(kept) >= ask.n or len(hits) < n:
                return kept[: ask.n]
            n *= 2
            further = replace(
                ask,
                n=n,
                filter=groups.still_open(ask.filter),
                exclude=[*ask.exclude, *(hit.id for hit in kept)],
            )
            hits = self._hits(name, further)[0]

    def _ask(self, queries: Floats, identity: SpaceIdentity | None, exclude: Sequence[str]) -> Ask:
        inquiry = self._inquiry
        depth = max(inquiry.k, inquiry.fusion.depth if inquiry.fusion else 0, inquiry.diversity.pool if inquiry.diversity else 0)
        return Ask(
            queries,
            depth,
            identity.name if identity else CONTENT,  # by its own name, so that a cut-over in between can not mix two spaces
            inquiry.filter,
            exclude,
            inquiry.effort,
            inquiry.exact,
            inquiry.min_generation,
            self._course.check,
        )

    def _queries(self, name: str, of: Search, identity: SpaceIdentity | None) -> Floats:
        if of.queries is not None:
            return _units(name, of.queries, identity.dimension if identity else of.queries.shape[-1])
        vectors = self._backend.vectors(identity.name, [*of.positive, *of.negative]) if identity else np.full((0, 1), np.nan, np.float32)
        known = ~np.isnan(vectors[:, 0])
        self.unknown |= dict.fromkeys(one for one, there in zip((*of.positive, *of.negative), known, strict=False) if not there)
        positive, negative = vectors[: len(of.positive)], vectors[len(of.positive) :]
        positive, negative = positive[known[: len(positive)]], negative[known[len(of.positive) :]]
        if not len(positive) + len(negative):
            first = (*of.positive, *of.negative)[0]
            raise NothingToRetrieve(
                f"None of the examples of the search {name!r} ({first!r}, ...) has a vector in the space {of.space!r}; "
                "name items of the catalogue (GET /v1/items lists them)."
            )
        return examples.query_of(positive, negative)[np.newaxis]

    def _check_fingerprint(self, name: str, identity: SpaceIdentity | None) -> None:
        sent = self._inquiry.fingerprint
        if sent is not None and identity is not None and identity.fingerprint != sent:
            raise FingerprintMismatch(
                f"The embeddings of the search {name!r} have the fingerprint {sent!r}, the space {identity.name!r} has "
                f"{identity.fingerprint!r}; embed with the encoder that made the space, or search another space."
            )

    def _check_rows(self, rows: Mapping[str, int]) -> None:
        inquiry, most = self._inquiry, max(rows.values())
        if inquiry.grouping and inquiry.grouping.attribute == ID:
            raise SearchInvalid("Every item has an id of its own; group by an attribute.")
        if inquiry.fusion and (odd := next((name for name, count in rows.items() if count not in (1, most)), None)) is not None:
            raise SearchInvalid(f"The search {odd!r} has {rows[odd]} embeddings, another one {most}; to be fused all have as many, or one.")
        answers = most if inquiry.fusion else sum(rows.values())
        if answers * inquiry.k > MOST_HITS:
            raise SearchInvalid(
                f"{answers} results of k = {inquiry.k} hits may be more than {MOST_HITS:,} hits; ask for a smaller k or fewer at once."
            )


def _units(name: str, queries: Floats, dimension: int) -> Floats:
    """`(rows, dimension)` of unit length."""
    if queries.shape[-1] != dimension and (queries.ndim == 2 or queries.size % dimension):
        what = f"embeddings of {queries.shape[1]} numbers" if queries.ndim == 2 else f"{queries.size} numbers in all"
        raise EmbeddingInvalid(
            f"The search {name!r} has {what}, its space has {dimension} dimensions; embed with the encoder that made the space."
        )
    rows = queries.reshape(-1, dimension).astype(np.float64)
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    wrong = np.flatnonzero(~((lengths > NOWHERE) & (lengths < 1 / NOWHERE)))  # NaN is neither
    if len(wrong):
        raise EmbeddingInvalid(
            f"Embedding {wrong[0]} of the search {name!r} has the length {lengths[wrong[0]]:g}; send finite numbers that are not all 0."
        )
    units: Floats = (rows / lengths[:, np.newaxis]).astype(np.float32)
    return units
