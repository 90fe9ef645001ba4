"""Reads the lines of a space upload as they stream in. Knows nothing of HTTP and of the catalogue.

The lines are read by hand rather than by pydantic: a million pairs take half a second instead of two and a half, because an id is
looked at once and not each time it is named. A test holds the two readings together.
"""

import base64
import json
import math
import re
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

from retriever.errors import SpaceRowRefused, SpaceUnknown
from retriever.items import Doubles, Floats
from retriever.spaces import TAKES, Kind, Neighbours, Scores, Upload, Vectors

FIELDS: dict[str, Kind] = {"neighbours": "neighbours", "embedding": "vectors", "score": "scores"}
MAX_DIMENSION = 4_096
LARGEST = 1e30
"""Magnitudes beyond this would overflow when they are summed or squared."""
ID = re.compile(r"(?!\.{1,2}\Z)[^\s/?#\x00\ud800-\udfff]{1,128}")


class SpaceUpload:
    """The rows so far of an upload to `space`; `feed` bytes in any portions, then `finish`."""

    def __init__(self, space: str) -> None:
        if space not in TAKES:
            raise SpaceUnknown(f"The space {space[:80]!r} takes no upload; upload to one of {', '.join(TAKES)} (content: PUT /v1/items).")
        self.space = space
        self._rest: list[bytes] = []
        self._line = 0
        self._kind: Kind | None = None
        self._numbers: dict[str, int] = {}
        self._own: dict[int, Any] = {}

    def feed(self, received: bytes) -> None:
        """Reads all complete lines; raises SpaceRowRefused at the first that is not usable."""
        head, newline, tail = received.rpartition(b"\n")
        if newline:
            for line in b"".join((*self._rest, head)).split(b"\n"):
                self._read(line)
            self._rest = []
        self._rest.append(tail)

    def finish(self) -> Upload:
        """The whole space; raises SpaceRowRefused when the last line is not usable."""
        self._read(b"".join(self._rest))
        self._rest = []
        ids, own = tuple(self._numbers), self._own
        match self._kind:
            case "neighbours":
                return Upload(ids, len(own), _neighbours(own, len(ids)))
            case "vectors":
                return Upload(ids, len(own), Vectors(np.stack([own[number] for number in range(len(ids))])))
            case "scores":
                return Upload(ids, len(own), Scores(np.array([own[number] for number in range(len(ids))], np.float64)))
        return Upload((), 0, None)

    def _read(self, line: bytes) -> None:
        self._line += 1
        if not line.strip():
            return
        try:
            row = json.loads(line.decode(), parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            self._refuse(f"it is not JSON ({error}); send one JSON object per line.")
        if not isinstance(row, dict):
            self._refuse(f"it is {_short(row)}; send a JSON object.")
        given = [name for name in FIELDS if row.get(name) is not None]
        if len(given) != 1 or not row.keys() <= {"id", *FIELDS}:
            self._refuse(f"it has the fields {', '.join(sorted(row))[:200] or 'none'}; send id and exactly one of {', '.join(FIELDS)}.")
        self._check_kind(given[0])
        number = self._number(row.get("id"))
        if number in self._own:
            self._refuse(f"the id {row['id']!r} has had a row already; send each id once.")
        readers = {"neighbours": self._neighbours, "embedding": self._embedding, "score": self._score}
        self._own[number] = readers[given[0]](row[given[0]])

    def _check_kind(self, name: str) -> None:
        kind = FIELDS[name]
        if kind not in TAKES[self.space]:
            self._refuse(f"it has {name}, but the space {self.space} takes {' or '.join(TAKES[self.space])}.")
        if self._kind not in (None, kind):
            self._refuse(f"it has {name}, but the rows before it are {self._kind}; send one kind in an upload.")
        self._kind = kind

    def _number(self, name: object) -> int:
        if not isinstance(name, str) or not ID.fullmatch(name):
            self._refuse(
                f"the id {_short(name)} is not an id; send 1 to 128 characters without white space, '/', '?' or '#', not '.' or '..'."
            )
        return self._numbers.setdefault(name, len(self._numbers))

    def _neighbours(self, pairs: object) -> tuple[list[int], Floats]:
        if not isinstance(pairs, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
            self._refuse("neighbours is not a list of [id, weight] pairs.")
        known = self._numbers.get
        # a known id needs no second look; get() of something unhashable would fail, hence the type first
        numbers = [self._number(name) if type(name) is not str or (number := known(name)) is None else number for name, _ in pairs]
        if len(set(numbers)) != len(numbers):
            self._refuse("neighbours names an id twice; send each once.")
        return numbers, self._doubles([weight for _, weight in pairs], "a weight").astype(np.float32)

    def _embedding(self, values: object) -> Floats:
        if isinstance(values, str):
            try:
                vector = np.frombuffer(base64.b64decode(values, validate=True), "<f4").astype(np.float32)
            except ValueError as error:
                self._refuse(f"embedding is not base64 of little-endian float32 ({error}).")
        elif isinstance(values, list):
            vector = self._doubles(values, "a number of the embedding").astype(np.float32)
        else:
            self._refuse(f"embedding is {_short(values)}; send a list of numbers or base64 of little-endian float32.")
        if not 1 <= len(vector) <= MAX_DIMENSION:
            self._refuse(f"the embedding has {len(vector)} numbers; send 1 to {MAX_DIMENSION}.")
        before = next(iter(self._own.values()), vector)
        if len(before) != len(vector):
            self._refuse(f"the embedding has {len(vector)} numbers, the rows before it have {len(before)}; send one dimension.")
        norm = math.sqrt(float(np.square(vector, dtype=np.float64).sum()))
        if not 1 / LARGEST < norm < LARGEST:
            self._refuse(f"the embedding has the length {norm}; send finite numbers that are not all 0.")
        return (vector.astype(np.float64) / norm).astype(np.float32)

    def _score(self, value: object) -> float:
        return float(self._doubles([value], "score")[0])

    def _doubles(self, values: Sequence[Any], what: str) -> Doubles:
        if {*map(type, values)} - {int, float}:
            wrong = next(value for value in values if type(value) not in (int, float))
            self._refuse(f"{what} is {_short(wrong)}; send a number.")
        if not all(-LARGEST <= value <= LARGEST for value in values):
            self._refuse(f"{what} is beyond 1e30 in magnitude; send finite numbers.")
        return np.array(values, np.float64)

    def _refuse(self, reason: str) -> NoReturn:
        raise SpaceRowRefused(self._line, reason)


def _neighbours(own: dict[int, tuple[list[int], Floats]], count: int) -> Neighbours:
    """The lists in the order of their owners' numbers; an id without a row has an empty list."""
    lengths = np.zeros(count, np.int64)
    for number, (named, _) in own.items():
        lengths[number] = len(named)
    ordered = [own[number] for number in sorted(own)]
    others = np.fromiter((other for row in ordered for other in row[0]), np.int64, int(lengths.sum()))
    weights = np.concatenate([row[1] for row in ordered])
    return Neighbours(np.concatenate(([0], np.cumsum(lengths))), others, weights)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number of JSON")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"
