"""Retrieval by brute force, written from the definition; shares no code with the product but what an item must meet to pass a filter."""

import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retriever.filters import meets
from retriever.retrieval import Question

DIM, LENDERS = 5, 3
NAMES = [f"i{number:02}" for number in range(24)]


@dataclass
class Model:
    """The definition of the service, in dictionaries; `items` is in the order of arrival."""

    items: dict[str, tuple[dict[str, Any], NDArray[np.float64]]] = field(default_factory=dict)
    neighbours: dict[str, dict[str, float]] = field(default_factory=dict)
    vectors: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)
    centre: NDArray[np.float64] = field(default_factory=lambda: np.zeros(DIM))

    def put(self, name: str, attributes: dict[str, Any], embedding: NDArray[np.float64]) -> None:
        self.items[name] = (attributes, embedding / np.linalg.norm(embedding))

    def vector(self, name: str) -> NDArray[np.float64]:
        return self.items[name][1]

    def allowed(self, question: Question) -> list[str]:
        gone = {*question.liked, *question.exclude}
        wanted = question.filter
        return [
            name for name, (attributes, _) in self.items.items() if name not in gone and (not wanted or meets(wanted, name, attributes))
        ]

    def alike(self, one: str, other: str) -> float:
        """Cosine of two items as seen from the centre."""
        first, second = self.vector(one) - self.centre, self.vector(other) - self.centre
        lengths = np.linalg.norm(first) * np.linalg.norm(second)
        return float(first @ second / lengths) if lengths > 1e-6 else 0.0

    def warm(self) -> list[str]:
        named = {other for row in self.neighbours.values() for other in row} | {name for name, row in self.neighbours.items() if row}
        return [name for name in self.items if name in self.vectors or name in named]

    def lenders(self, name: str) -> list[str]:
        """The warm items that stand in for a cold one, in the order of arrival; a warm one stands for itself."""
        warm = self.warm()
        nearest = sorted(warm, key=lambda other: -self.alike(name, other))[:LENDERS]
        return [name] if name in warm else [other for other in warm if other in nearest]

    def voices(self, question: Question) -> list[list[str]]:
        """Who speaks in the collaborative space, with equal shares within a voice."""
        liked = [name for name in dict.fromkeys(question.liked) if name in self.items]
        if heard := [lenders for name in liked if (lenders := self.lenders(name))]:
            return heard
        mean = sum((query.weight * query.embedding.astype(np.float64) for query in question.queries), np.zeros(DIM))
        nearest = sorted(self.warm(), key=lambda name: -float(mean @ self.vector(name)))[:LENDERS]
        return [nearest] if question.queries and nearest else []

    def collaborative(self, voices: list[list[str]]) -> dict[str, float]:
        own: dict[str, float] = {}
        if self.vectors:
            unit_of = {name: vector / np.linalg.norm(vector) for name, vector in self.vectors.items()}
            mean = np.mean([np.mean([unit_of[name] for name in voice], axis=0) for voice in voices], axis=0)
            own = {name: float(mean @ unit_of[name] / np.linalg.norm(mean)) for name in unit_of}
        else:
            for name in self.warm():
                own[name] = sum(float(np.mean([self.neighbours.get(one, {}).get(name, 0.0) for one in voice])) for voice in voices)
        return {name: float(np.mean([own[one] for one in lenders])) if (lenders := self.lenders(name)) else 0.0 for name in self.items}

    def popular(self) -> dict[str, float]:
        lowest = min(self.scores.values())
        own = {name: self.scores.get(name, lowest) for name in self.items}
        return {
            name: float(np.mean([own[one] for one in lenders]))
            if name not in self.scores and (lenders := self.lenders(name))
            else own[name]
            for name in self.items
        }

    def raw(self, question: Question) -> dict[str, dict[str, float]]:
        liked = [name for name in dict.fromkeys(question.liked) if name in self.items]
        raw: dict[str, dict[str, float]] = {}
        if question.queries and self.items:
            total = sum(query.weight for query in question.queries)
            raw["content"] = {
                name: sum(query.weight * float(query.embedding @ self.vector(name)) for query in question.queries) / total
                for name in self.items
            }
        if liked:
            raw["similar"] = {name: max(self.alike(one, name) for one in liked) for name in self.items}
        if voices := self.voices(question):
            raw["collaborative"] = self.collaborative(voices)
        if self.scores and self.items:
            raw["popular"] = self.popular()
        return {name: scores for name, scores in raw.items() if question.weights.get(name, 0) > 0}

    def rounding_decides(self, question: Question) -> bool:
        """Whether the order of two items is a matter of rounding, such as when both speak with vectors: each is as near to their mean."""
        for source, scores in self.raw(question).items():
            gaps = np.diff(sorted(scores[name] for name in self.allowed(question)))
            least = -1.0 if source == "collaborative" and self.vectors else 0.0
            if ((gaps > least) & (gaps < 1e-6)).any():
                return True
        return False

    def answer(self, question: Question, proposals: int) -> tuple[list[str], dict[str, float], dict[str, dict[str, int]]]:
        """The ids, the fused score of every item, and the ranks in each source's own list."""
        allowed, raw = self.allowed(question), self.raw(question)
        fused, pool, ranks = dict.fromkeys(self.items, 0.0), set(), {}
        for source, scores in raw.items():
            values = np.array(list(scores.values()))
            std = values.std()
            for name in self.items:
                fused[name] += question.weights[source] * (scores[name] - values.mean()) / std if std > 1e-6 else 0.0
            top = sorted(allowed, key=lambda name: -scores[name])[:proposals]
            pool |= set(top)
            ranks[source] = {name: rank for rank, name in enumerate(top, 1)}
        if "content" in raw:
            for query in question.queries:
                pool |= set(sorted(allowed, key=lambda name: -float(query.embedding @ self.vector(name)))[:proposals])
        candidates = allowed if len(allowed) <= proposals else list(pool)
        return sorted(candidates, key=lambda name: (-fused[name], name))[: question.k], fused, ranks


def unit(rng: np.random.Generator) -> NDArray[np.float64]:
    vector = rng.standard_normal(DIM) + 0.5
    return vector / np.linalg.norm(vector)


def line(row: dict[str, Any]) -> bytes:
    """Of an upload."""
    return json.dumps(row).encode() + b"\n"
