"""Catalogues for the suites that run over every backend of the retriever, and what a backend must answer, computed plainly.

The reference is a dict and a scan; it shares with the product only the definition of filters, `retriever.filters.meets`.
"""

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np

from retriever.backends.protocol import CONTENT, Ask, Backend, Patch
from retriever.filters import EVERYTHING, And, AnyOf, Condition, Contains, Exists, Expression, NoneOf, Not, Or, Range, Where, meets
from retriever.items import AttributeValue, Floats, Item

DIMENSION = 6
WORDS = ("x", "1", "1.0", "True", "it's", 'say "hi"', "back\\slash", "été", "")
NUMBERS: tuple[int | float, ...] = (0, -0.0, 1, 1.0, 2.5, -3, 1e22, 1e-7, 2**60, 10**400, -(10**400))
NAMES = ("a", "b", "c", "id_2")


def unit(rng: np.random.Generator, n: int, dimension: int = DIMENSION) -> Floats:
    """Random vectors `(n, dimension)` of length 1."""
    drawn = rng.standard_normal((n, dimension))
    scaled: Floats = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
    return scaled


def items(*ids: str, **attributes: str) -> list[Item]:
    return [Item(name, f"title of {name}", attributes, f"text of {name}") for name in ids]


def found(store: Backend, query: Floats, space: str = CONTENT, n: int = 10) -> list[str]:
    return list(store.search(Ask(query[np.newaxis], n, space)).ids[0])


def counted(store: Backend) -> dict[str, tuple[bool, bool, int, int]]:
    return {state.name: (state.content, state.previous, state.rows, state.missing) for state in store.spaces()}


def value(rng: random.Random) -> AttributeValue:
    return rng.choice(
        (
            lambda: rng.choice(WORDS),
            lambda: rng.choice(NUMBERS),
            lambda: rng.random() < 0.5,
            lambda: tuple(rng.sample(WORDS, rng.randrange(4))),
        )
    )()


def attributes(rng: random.Random) -> dict[str, AttributeValue]:
    return {name: value(rng) for name in NAMES if rng.random() < 0.6}


def condition(rng: random.Random) -> Condition:
    scalars = (*WORDS, *NUMBERS, True, False)
    ends = rng.sample(("gte", "gt", "lte", "lt"), rng.choice((1, 2)))
    return rng.choice(
        (
            lambda: Range(**{end: float(rng.choice((0, 1, 2.5, -3, 1e22, 1e-7, float("inf"), float("-inf")))) for end in ends}),
            lambda: AnyOf(tuple(rng.sample(scalars, rng.randrange(4)))),
            lambda: NoneOf(tuple(rng.sample(scalars, rng.randrange(4)))),
            lambda: Contains(rng.choice(WORDS)),
            lambda: Exists(rng.random() < 0.5),
        )
    )()


def expression(rng: random.Random, ids: Sequence[str], depth: int = 3) -> Expression:
    drawn = rng.random() if depth else 1.0
    if drawn < 0.45:
        parts = tuple(expression(rng, ids, depth - 1) for _ in range(rng.randrange(4)))
        return rng.choice((And, Or))(parts)
    if drawn < 0.6:
        return Not(expression(rng, ids, depth - 1))
    if drawn < 0.65:
        return Where("id", rng.choice((AnyOf, NoneOf))(tuple(rng.sample(ids, min(3, len(ids))))))
    return Where(rng.choice(NAMES), condition(rng))


@dataclass
class Reference:
    """Items and their vectors by space, as plain dicts."""

    items: dict[str, Item] = field(default_factory=dict)
    vectors: dict[str, dict[str, Floats]] = field(default_factory=dict)

    def put(self, spaces: Collection[str], items: Sequence[Item], embeddings: Floats) -> None:
        for item, embedding in zip(items, embeddings, strict=True):
            self.items[item.id] = item
            for space in spaces:
                self.vectors.setdefault(space, {})[item.id] = embedding

    def patch(self, patch: Patch) -> None:
        old = self.items[patch.id]
        kept = {} if patch.clear_attributes else {name: value for name, value in old.attributes.items() if name not in patch.attributes}
        text = None if patch.drop_text else patch.text if patch.text is not None else old.text
        title = patch.title if patch.title is not None else old.title
        given = {name: value for name, value in patch.attributes.items() if value is not None}
        self.items[patch.id] = Item(patch.id, title, kept | given, text)

    def delete(self, ids: Collection[str]) -> None:
        for name in ids:
            self.items.pop(name, None)
            for space in self.vectors.values():
                space.pop(name, None)

    def search(self, space: str, query: Floats, n: int, wanted: Expression | None, exclude: Collection[str]) -> list[tuple[str, float]]:
        """The best `n` as (id, cosine), best first."""
        scored = [
            (name, float(query @ vector))
            for name, vector in self.vectors.get(space, {}).items()
            if name not in exclude and meets(wanted or EVERYTHING, name, self.items[name].attributes)
        ]
        return sorted(scored, key=lambda found: -found[1])[:n]
