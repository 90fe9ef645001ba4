"""What a retriever must hold after a run of writes, as plain dicts and arrays. Knows nothing of segments, SQLite and time.

It shares with the product only the definition of filters, `retriever.filters.meets`, and of merge patches, which have suites of their own.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np

from retriever.backends.protocol import FIRST_KIND, FIRST_SPACE, Patch
from retriever.filters import Expression, meets
from retriever.items import Bools, Floats, Item
from retriever.patching import patched

ROUNDING = 2e-6
"""Scores that differ by less may come in any order."""


@dataclass
class Space:
    """A vector space; `vectors` by the id of their items."""

    fingerprint: str
    dimension: int
    kind: str
    vectors: dict[str, Floats] = field(default_factory=dict)


@dataclass
class Truth:
    """Items and vectors. `content` and `previous` name spaces."""

    items: dict[str, Item] = field(default_factory=dict)
    spaces: dict[str, Space] = field(default_factory=dict)
    content: str | None = None
    previous: str | None = None

    def put(self, fingerprint: str, items: Sequence[Item], embeddings: Floats) -> None:
        if self.content is None:
            self.create_space(FIRST_SPACE, fingerprint, embeddings.shape[1], FIRST_KIND)
        self.items.update({item.id: item for item in items})
        named = {item.id: stored(embedding) for item, embedding in zip(items, embeddings, strict=True)}
        for space in self.spaces.values():
            if space.fingerprint == fingerprint:
                space.vectors.update(named)

    def put_vectors(self, name: str, ids: Sequence[str], embeddings: Floats) -> None:
        self.spaces[name].vectors.update({one: stored(embedding) for one, embedding in zip(ids, embeddings, strict=True)})

    def patch(self, patches: Sequence[Patch]) -> None:
        for patch in patches:
            self.items[patch.id] = patched(self.items[patch.id], patch)

    def delete(self, ids: Collection[str]) -> None:
        for name in ids:
            self.items.pop(name, None)
            for space in self.spaces.values():
                space.vectors.pop(name, None)

    def create_space(self, name: str, fingerprint: str, dimension: int, kind: str) -> None:
        self.spaces.setdefault(name, Space(fingerprint, dimension, kind))
        self.content = self.content or name

    def drop_space(self, name: str) -> None:
        del self.spaces[name]
        if self.previous == name:
            self.previous = None

    def cut_over(self, name: str) -> None:
        if name != self.content:
            self.previous, self.content = self.content, name

    def allowed(self, wanted: Expression | None, excluded: Collection[str]) -> set[str]:
        """The ids of the items that may be found."""
        kept = (name for name in self.items if name not in excluded)
        return {name for name in kept if wanted is None or meets(wanted, name, self.items[name].attributes)}

    def scores(self, space: str, query: Floats, allowed: Collection[str]) -> dict[str, float]:
        """The cosine of every allowed item that has a vector."""
        vectors = self.spaces[space].vectors
        names = [name for name in vectors if name in allowed]
        if not names:
            return {}
        products = np.stack([vectors[name] for name in names]) @ query
        return dict(zip(names, products.tolist(), strict=True))


def stored(embedding: Floats) -> Floats:
    """With exactly unit length, as the product stores it."""
    wide = embedding.astype(np.float64)
    scaled: Floats = (wide / np.sqrt(np.square(wide).sum())).astype(np.float32)
    return scaled


def check_found(ids: Sequence[str], scores: Floats, truth: dict[str, float], place: str) -> None:
    """Everything found is allowed, is there once, has its own score and comes in their order."""
    assert len(set(ids)) == len(ids), f"{place}: found twice: {ids}"
    strangers = [name for name in ids if name not in truth]
    assert not strangers, f"{place}: found {strangers[:5]}, which are deleted, not allowed or without a vector"
    own = np.array([truth[name] for name in ids], np.float32)
    assert np.allclose(scores, own, atol=10 * ROUNDING), f"{place}: scores {scores.tolist()} of items that have {own.tolist()}"
    assert (np.diff(scores) <= ROUNDING).all(), f"{place}: not in the order of their scores: {scores.tolist()}"


def hits(ids: Sequence[str], truth: dict[str, float], n: int) -> tuple[int, int]:
    """How many of the `n` best were found, ties aside, and how many there are."""
    best = sorted(truth.values(), reverse=True)[:n]
    if not best:
        return 0, 0
    right = sum(truth[name] >= best[-1] - ROUNDING for name in ids)
    return min(right, len(best)), len(best)


def same_vectors(found: Floats, expected: Sequence[Floats | None]) -> Bools:
    """For each row of `found` whether it is the expected vector, or NaN where there is none."""
    wanted = np.full_like(found, np.nan)
    for row, vector in enumerate(expected):
        if vector is not None:
            wanted[row] = vector
    near: Bools = np.all(np.isclose(found, wanted, atol=1e-6, equal_nan=True), axis=1)
    return near
