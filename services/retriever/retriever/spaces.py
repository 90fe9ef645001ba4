"""An uploaded space as arrays, and the bytes they are kept as. Knows nothing of rows of the catalogue."""

import io
import json
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np

from retriever.items import Doubles, Floats, Rows

Kind = Literal["neighbours", "vectors", "scores"]
COLLABORATIVE, POPULAR = "collaborative", "popular"
TAKES: dict[str, tuple[Kind, ...]] = {COLLABORATIVE: ("neighbours", "vectors"), POPULAR: ("scores",)}
"""The spaces that take uploads, and what they take."""


@dataclass(frozen=True)
class Neighbours:
    """Sparse lists: item i names `others[starts[i]:starts[i + 1]]`, each once, with `weights`."""

    starts: Rows
    others: Rows
    weights: Floats

    def of(self, number: int) -> slice:
        return slice(int(self.starts[number]), int(self.starts[number + 1]))


@dataclass(frozen=True)
class Vectors:
    """Unit vectors `(ids, dim)`."""

    vectors: Floats


@dataclass(frozen=True)
class Scores:
    """One number for each id `(ids,)`."""

    scores: Doubles


@dataclass(frozen=True)
class Upload:
    """A whole space. Ids are numbered by their place in `ids`; `rows` of them had a line of their own."""

    ids: tuple[str, ...]
    rows: int
    content: Neighbours | Vectors | Scores | None

    @property
    def kind(self) -> Kind | Literal["empty"]:
        match self.content:
            case Neighbours():
                return "neighbours"
            case Vectors():
                return "vectors"
            case Scores():
                return "scores"
        return "empty"

    @property
    def dimension(self) -> int | None:
        return self.content.vectors.shape[1] if isinstance(self.content, Vectors) else None

    def to_bytes(self) -> bytes:
        """An npz archive: the ids as JSON, and the arrays."""
        arrays = vars(self.content) if self.content else {}
        written = io.BytesIO()
        names = np.frombuffer(json.dumps(self.ids).encode(), np.uint8)
        np.savez(written, allow_pickle=False, ids=names, rows=np.array(self.rows), **arrays)
        return written.getvalue()

    @classmethod
    def from_bytes(cls, kind: str, content: bytes) -> Self:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        ids, rows = tuple(json.loads(arrays.pop("ids").tobytes())), int(arrays.pop("rows"))
        kinds = {"neighbours": Neighbours, "vectors": Vectors, "scores": Scores}
        return cls(ids, rows, kinds[kind](**arrays) if kind in kinds else None)
