"""Searches one collection so that the answer keeps the protocol's promises. Knows nothing of spaces, roles and fingerprints.

The index answers first. Where that can not be right, all allowed vectors are read in pages and scored here: when the answer must be exact
and the index is not, when more is wanted than Milvus gives, and when a graph found fewer than are allowed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from retriever.backends.milvus.server import EFFORT, KINDS, MAX_EFFORT, MAX_TOP, Row, Server
from retriever.backends.protocol import Ask, Hits
from retriever.items import Floats

PAGE = 1_000
ROUNDED = frozenset({"hnsw-sq8", "ivf-sq8"})
"""Kinds whose scores are those of rounded vectors; their hits are scored again with the stored ones."""
SPARE = 2
"""Hits asked of a rounded kind for each one wanted."""

Found = tuple[list[list[str]], list[Floats]]


def nearest(server: Server, collection: str, kind: str, where: str, ask: Ask, generation: int) -> Hits:
    """As `Backend.search`; `where` is filter and exclusions together."""
    plan: list[dict[str, object]] = []
    if not len(ask.queries) or ask.n < 1:
        return Hits([[] for _ in ask.queries], [np.empty(0, np.float32) for _ in ask.queries], generation)
    exact, spare = ask.exact and kind != "flat", SPARE if kind in ROUNDED else 1
    if exact or ask.n * spare > MAX_TOP:
        ids, scores = _read_all(server, collection, where, ask, plan)
        return Hits(ids, scores, generation, plan)
    ids, scores = _indexed(server, collection, kind, where, ask, plan)
    if ask.deadline:
        ask.deadline()
    fewest = min(map(len, ids))
    if kind != "flat" and fewest < ask.n and fewest < (allowed := server.count(collection, where)):
        plan.append({"step": "guard", "found": fewest, "allowed": allowed})
        ids, scores = _read_all(server, collection, where, ask, plan)
    return Hits(ids, scores, generation, plan)


def _indexed(server: Server, collection: str, kind: str, where: str, ask: Ask, plan: list[dict[str, object]]) -> Found:
    index_type, _, knob = KINDS[kind]
    wanted = ask.n * (SPARE if kind in ROUNDED else 1)
    params = {knob: min(MAX_EFFORT[knob], max(ask.effort or EFFORT[knob], wanted if knob == "ef" else 1))} if knob else {}
    plan.append({"step": "index", "type": index_type, "top": wanted, "filtered": bool(where), **params})
    found = server.search(collection, ask.queries.tolist(), wanted, where, params)
    if kind in ROUNDED:
        found = _rescored(server, collection, found, ask)
    ids = [[str(hit["id"]) for hit in hits] for hits in found]
    return ids, [np.array([hit["distance"] for hit in hits], np.float32) for hits in found]


def _rescored(server: Server, collection: str, found: Sequence[Sequence[Row]], ask: Ask) -> list[list[Row]]:
    names = sorted({hit["id"] for hits in found for hit in hits})
    rows = server.get(collection, names, ["vector"])
    again = []
    for query, hits in zip(ask.queries, found, strict=True):
        # one that was deleted meanwhile is left out
        scored = [
            {"id": hit["id"], "distance": float(query @ np.asarray(rows[hit["id"]]["vector"], np.float32))}
            for hit in hits
            if hit["id"] in rows
        ]
        again.append(sorted(scored, key=lambda hit: -float(hit["distance"]))[: ask.n])
    return again


@dataclass
class _Best:
    """The best so far of one query."""

    n: int
    ids: list[str] = field(default_factory=list)
    scores: Floats = field(default_factory=lambda: np.empty(0, np.float32))

    def add(self, ids: Sequence[str], scores: Floats) -> None:
        ids, scores = [*self.ids, *ids], np.concatenate((self.scores, scores))
        order = np.argsort(-scores, kind="stable")[: self.n]
        self.ids, self.scores = [ids[at] for at in order], scores[order]


def _read_all(server: Server, collection: str, where: str, ask: Ask, plan: list[dict[str, object]]) -> Found:
    best, read = [_Best(ask.n) for _ in ask.queries], 0
    for page in server.pages(collection, where, ["vector"], PAGE):
        if ask.deadline:
            ask.deadline()
        read += len(page)
        scores = np.asarray([row["vector"] for row in page], np.float32) @ ask.queries.T
        for column, mine in enumerate(best):
            mine.add([row["id"] for row in page], scores[:, column])
    plan.append({"step": "scan", "rows": read})
    return [mine.ids for mine in best], [mine.scores for mine in best]
