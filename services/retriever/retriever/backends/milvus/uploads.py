"""Uploaded spaces in Milvus, and in memory as the sources look at them. Knows nothing of questions and scores.

A space is compressed and cut into parts, rows of the collection `uploads`. A row of the registry, written after them, says which parts
are the space: readers see the old one whole or the new one whole, and all retrievers before one Milvus see the same.
"""

import math
import zlib
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from threading import Lock
from typing import Final
from uuid import uuid4

import numpy as np

from retriever.backends.milvus.expressions import id_like
from retriever.backends.milvus.registry import Mark, Registry
from retriever.backends.milvus.rows import NOWHERE
from retriever.backends.milvus.server import Server
from retriever.collaborative import says_something
from retriever.errors import StorageFailed
from retriever.items import Doubles, Rows
from retriever.spaces import Scores, Upload
from retriever.spread import Spread

PART_BYTES: Final = 48_000
"""Of a part before base64, which makes 64,000 of them."""
PARTS_AT_ONCE: Final = 64
"""4 MB in a call."""
LEADING: Final = 1_000
"""Ids whose scores are the largest, which search-as-you-type asks for apart."""
ATTEMPTS: Final = 5
"""To read a space, each of which may be overtaken by another upload."""


@dataclass(frozen=True, eq=False)
class Heard:
    """An uploaded space: `said` are the numbers of the ids of which it says something, ascending, and `number_of` gives those."""

    upload: Upload
    said: Rows
    number_of: Mapping[str, int]

    @classmethod
    def of(cls, upload: Upload) -> "Heard":
        said = np.flatnonzero(says_something(upload))
        return cls(upload, said, {upload.ids[number]: number for number in said.tolist()})

    @property
    def scores(self) -> Doubles:
        """By number; none unless scores were uploaded."""
        return self.upload.content.scores if isinstance(self.upload.content, Scores) else np.empty(0)

    @cached_property
    def leading(self) -> list[str]:
        """The ids of the LEADING largest scores, in no order."""
        numbers = np.argpartition(-self.scores, LEADING)[:LEADING] if len(self.scores) > LEADING else range(len(self.scores))
        return [self.upload.ids[number] for number in numbers]

    @cached_property
    def spread(self) -> Spread:
        """Of the scores."""
        return Spread.of(self.scores)

    def score(self, name: str) -> float:
        """Of an id; below all others when it has none."""
        return float(self.scores[self.number_of[name]]) if name in self.number_of and len(self.scores) else -math.inf


class Uploads:
    """Writes them from one thread of one process; reads them from any, and keeps in memory what it read last."""

    def __init__(self, server: Server, registry: Registry) -> None:
        self._server, self._registry, self._collection = server, registry, server.named("uploads")
        self._reading, self._kept = Lock(), dict[str, tuple[Mark, Heard]]()
        server.ready(self._collection, (("part", "text"),), len(NOWHERE), "flat")

    def replace(self, name: str, upload: Upload) -> None:
        """Puts `upload` in the place of the whole space."""
        content = zlib.compress(upload.to_bytes(), 1)
        parts = [content[at : at + PART_BYTES] for at in range(0, len(content), PART_BYTES)]
        mark = Mark(name, upload.kind, uuid4().hex, len(parts), sha256(content).hexdigest())
        rows = [{"id": _key(mark, at), "vector": NOWHERE, "part": b64encode(part).decode()} for at, part in enumerate(parts)]
        self._server.upsert(self._collection, rows, size=PARTS_AT_ONCE)
        self._registry.mark(mark)
        with self._reading:
            self._kept[name] = mark, Heard.of(upload)
        # what it replaces, and what an upload that was cut off left
        self._server.delete_where(self._collection, f"{id_like(f'{name}:%')} and not ({id_like(f'{name}:{mark.stamp}:%')})")

    def heard(self) -> dict[str, Heard]:
        """By the names of the spaces that were uploaded, as the registry knows them."""
        with self._reading:
            for _ in range(ATTEMPTS):
                marks = self._registry.known.uploads
                if all(map(self._read, marks.values())):
                    return {name: self._kept[name][1] for name in marks}
                self._registry.look()
        raise StorageFailed(
            "An uploaded space in Milvus lacks parts, or they are not what was written; upload it again with PUT /v1/spaces/{space}."
        )

    def _read(self, mark: Mark) -> bool:
        """Whether the space is in memory now; not when its parts are gone, as another upload replaced them."""
        if (kept := self._kept.get(mark.name)) and kept[0] == mark:
            return True
        keys = [_key(mark, at) for at in range(mark.parts)]
        found = self._server.get(self._collection, keys, ["part"], size=PARTS_AT_ONCE)
        content = b"".join(b64decode(found[key]["part"]) for key in keys if key in found)
        if sha256(content).hexdigest() != mark.sha256:
            return False
        self._kept[mark.name] = mark, Heard.of(Upload.from_bytes(mark.kind, zlib.decompress(content)))
        return True


def _key(mark: Mark, at: int) -> str:
    return f"{mark.name}:{mark.stamp}:{at:06d}"
