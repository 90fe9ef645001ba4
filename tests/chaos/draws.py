"""Random input for the model: items, vectors, filters, patches, spaces. Knows the truth only to draw what is there and what is not."""

import json
import random

import numpy as np
from tests.chaos.truth import Truth
from tests.contract.retriever_stores import attributes, expression

from retriever.backends.protocol import CONTENT, Patch
from retriever.filters import Expression
from retriever.items import AttributeValue, Floats, Item

NAMES = [f"i{number}" for number in range(900)]
ENCODERS = {"encoder-a": 8, "encoder-b": 12, "encoder-c": 16}
SPACES = ("content-1", "one", "two", "three")
KINDS = ("hnsw", "hnsw", "hnsw", "ivf-sq8", "ivf-pq", "hnsw-sq8")
CENTRES = 24


class Draws:
    """All of it from `rng`, in one order, so that a seed gives one run."""

    def __init__(self, rng: random.Random, truth: Truth) -> None:
        self._rng, self._truth = rng, truth
        self._vectors = np.random.default_rng(rng.randrange(2**32))
        self._centres = {dimension: self._vectors.standard_normal((CENTRES, dimension)) for dimension in {*ENCODERS.values(), 3, 4, 5}}

    def vectors(self, n: int, dimension: int) -> Floats:
        """`(n, dimension)` about some centres; now and then several are equal, and some a little off length 1."""
        centres = self._centres[dimension][self._vectors.integers(CENTRES, size=n)]
        spread = 0.0 if self._rng.random() < 0.05 else 0.6
        drawn = centres + spread * self._vectors.standard_normal((n, dimension))
        drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
        scaled: Floats = (drawn * self._rng.choice((1, 1, 1.0005))).astype(np.float32)
        return scaled if self._rng.random() < 0.1 else (drawn.astype(np.float32))

    def encoder(self) -> tuple[str, int]:
        """A fingerprint that can be put now, with its dimension; more often that of the content space."""
        known = [(space.fingerprint, space.dimension) for space in self._truth.spaces.values()]
        if not known:
            return self._rng.choice(list(ENCODERS.items()))
        content = self._truth.spaces[self._truth.content or ""]
        return (content.fingerprint, content.dimension) if self._rng.random() < 0.8 else self._rng.choice(known)

    def item(self, name: str, text: str | None = None) -> Item:
        rng = self._rng
        return Item(name, f"Title {rng.randrange(100)}", attributes(rng), text or rng.choice((None, None, "", "text")))

    def items(self) -> list[Item]:
        """New and known ones, some of them twice."""
        rng = self._rng
        count = rng.choice((1, 1, 2, 5, 12, 40))
        return [self.item(rng.choice(NAMES)) for _ in range(count)]

    def some_ids(self, most: int) -> list[str]:
        """Up to `most`, of items or not, each once."""
        return self._rng.sample(NAMES, self._rng.randrange(most + 1))

    def ids(self, most: int) -> list[str]:
        """Up to `most` of items that are there, some twice; none when there are none."""
        items = list(self._truth.items)
        return [self._rng.choice(items) for _ in range(self._rng.randrange(1, most + 1))] if items else []

    def patch(self, name: str) -> Patch:
        rng = self._rng
        removed: dict[str, AttributeValue | None] = dict.fromkeys(rng.sample(("a", "b", "c"), rng.randrange(2)))
        return Patch(
            name,
            title=rng.choice((None, f"Patched {rng.randrange(100)}")),
            text=rng.choice((None, "patched")),
            drop_text=rng.random() < 0.2,
            attributes=attributes(rng) | removed,
            clear_attributes=rng.random() < 0.2,
        )

    def filter(self) -> Expression | None:
        return expression(self._rng, NAMES) if self._rng.random() < 0.5 else None

    def space(self) -> str | None:
        """The name of one that is there."""
        return self._rng.choice(list(self._truth.spaces)) if self._truth.spaces else None

    def called(self, name: str) -> str:
        """That name, or the role that the space plays."""
        return CONTENT if name == self._truth.content and self._rng.random() < 0.5 else name

    def new_space(self) -> tuple[str, str, int, str]:
        """Name, fingerprint, dimension and kind; some are of a space that is there, some do not fit one."""
        fingerprint = self._rng.choice(list(ENCODERS))
        dimension = ENCODERS[fingerprint] if self._rng.random() < 0.9 else self._rng.choice((3, 4))
        return self._rng.choice(SPACES), fingerprint, dimension, self._rng.choice(KINDS)

    def upload(self) -> tuple[str, bytes]:
        """The name of an uploaded space and its lines."""
        rng = self._rng
        owners = rng.sample(NAMES, rng.choice((0, 1, 30, 300)))
        kind = rng.choice(("score", "neighbours", "embedding"))
        lines = []
        for owner in owners:
            row: dict[str, object] = {"id": owner}
            if kind == "score":
                row["score"] = rng.choice((0, 1, rng.uniform(-5, 5)))
            elif kind == "neighbours":
                row["neighbours"] = [[name, rng.uniform(0, 2)] for name in rng.sample(NAMES, rng.randrange(8)) if name != owner]
            else:
                row["embedding"] = [rng.gauss(0, 1) for _ in range(4)]
            lines.append(json.dumps(row).encode() + b"\n")
        return ("popular" if kind == "score" else "collaborative"), b"".join(lines)
