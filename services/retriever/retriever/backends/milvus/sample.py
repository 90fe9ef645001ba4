"""A sample of the vectors of the content space: what the sources standardise by, and from where items are compared. Knows no requests.

With SAMPLED items or fewer it is all of them. Of more it is those whose id has enough leading zeros when it is hashed, which each item
carries as a term: so every retriever before the same Milvus draws the same ones, and nobody has to keep the sample.
"""

import math
import time
from dataclasses import dataclass, replace
from threading import Lock
from typing import Final, Self

import numpy as np

from retriever.backends.milvus.expressions import drawn_from
from retriever.backends.milvus.registry import Space
from retriever.backends.milvus.server import Server
from retriever.centre import NOWHERE, Centre
from retriever.items import Floats
from retriever.spread import Moments

SAMPLED: Final = 10_000
"""At most; of larger catalogues between half as many and these."""
PAGE: Final = 1_000
AGE_S: Final = 300.0
"""After so long a sample is drawn again if anything was written since."""


@dataclass(frozen=True, eq=False)
class Sample:
    """`seen` `(s, d)` are its vectors as unit vectors from the centre; `centre.items` is how many items the space had then."""

    collection: str
    generation: int
    drawn_at: float
    centre: Centre
    moments: Moments
    seen: Floats

    @classmethod
    def drawn(cls, server: Server, space: Space, generation: int, sampled: int = SAMPLED) -> Self:
        items = server.count(space.collection)
        where = drawn_from(math.ceil(math.log2(items / sampled))) if items > sampled else ""
        pages = server.pages(space.collection, where, ["vector"], PAGE)
        vectors = np.array([row["vector"] for page in pages for row in page], np.float32).reshape(-1, space.dimension)
        moments, now = Moments.of(vectors), time.monotonic()
        if not len(vectors):
            return cls(space.collection, generation, now, NOWHERE, Moments.none(), vectors)
        centre = Centre(moments.total / moments.count, items)
        return cls(space.collection, generation, now, centre, moments, centre.seen_from(vectors))

    def stale(self, items: int) -> bool:
        """Whether a space that was written to, and has `items` items now, is another one than this was drawn from."""
        return self.centre.due(items) or not items or time.monotonic() - self.drawn_at > AGE_S


class Samples:
    """The sample drawn last. Safe for many threads, of which one draws while the others wait."""

    def __init__(self, server: Server, sampled: int) -> None:
        self._server, self._sampled = server, sampled
        self._drawing = Lock()
        self._kept: Sample | None = None

    def of(self, space: Space, generation: int) -> Sample:
        """Of the content space `space` in a store of `generation`."""
        with self._drawing:
            self._kept = kept = self._renewed(self._kept, space, generation)
        return kept

    def _renewed(self, kept: Sample | None, space: Space, generation: int) -> Sample:
        if kept and kept.collection == space.collection:
            if kept.generation >= generation:
                return kept
            if not kept.stale(self._server.count(space.collection)):
                return replace(kept, generation=generation)
        return Sample.drawn(self._server, space, generation, self._sampled)
