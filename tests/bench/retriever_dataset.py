"""The vectors, queries, attributes and exact answers that the retriever is measured with, kept in a folder between runs.

Knows nothing of the retriever. The vectors are drawn, up to 1,000,000 of 384 dimensions, from real ones: MiniLM's embeddings of three
passages about each book of the packaged sample. A drawn vector lies between a real one and one of the 1,024 nearest to it, plus noise
with the covariance of the step from a real vector to one near it, here more and there less of it. `describe` tells how alike both are.
Every draw is seeded, so the small set is the beginning of the large one, and two runs on one machine measure the same.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from encoder.backends.protocol import embed, open_backend
from encoder.settings import Settings as EncoderSettings
from pipelines import sample

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]

DIMENSION, K = 384, 10
NEAR, NEIGHBOURS = 16, 1_024
NOISE, SPREAD, LEAST = 0.4, 0.4, 0.4
"""The median of the noise, as a part of the step between near vectors; the deviation of its logarithm; the least weight of the real vector.
With these 18,135 drawn vectors are as near to their tenth neighbour (.61) as the real ones, and a graph needs about the same effort for the
same recall (an ef of 328 for .98, of 432 over the real ones); weaker or evener noise makes them easier than real ones are."""
BLOCK = 10_000
DEV, REPORTED = 500, 1_500
"""Queries held out of the vectors: those that pick an effort, and those whose figures are told."""
FILTERED = 500
"""Of the reported ones, asked under each filter."""
SHARES = {"50": 0.5, "10": 0.1, "2": 0.02, "05": 0.005}
"""Part of the name of a shelf (an attribute) and the share of all items that stand on it."""
SHAPES = {"r": "random", "d": "nearest to a direction", "c": "whole clusters"}
CLUSTERS = 400
LANGUAGES = ("eng", "ger", "fre", "spa", "ita", "por", "dut", "jpn")


def passages() -> list[str]:
    """Three texts about each book of the sample, each once, in the order of the alphabet."""
    made: set[str] = set()
    for item in sample.items():
        facts = item["attributes"]
        authors, genres = ", ".join(facts.get("authors", ())), ", ".join(facts.get("genres", ())[:6])
        made |= {item["title"], f"{item['title']} by {authors}", f"{item['title']}: {genres}"}
    return sorted(made)


def real_vectors(state: Path) -> Floats:
    """`(18635, 384)` unit vectors of the packaged encoder; takes about two minutes once."""
    path = state / f"real-{sample.digest()[:12]}.npy"
    if not path.exists():
        texts = passages()
        backend = open_backend(EncoderSettings(state_dir=state / "encoder", threads=1))
        np.save(path, embed(backend, texts))
    real: Floats = np.load(path)
    return real


class Source:
    """Draws vectors that look like the real ones it is given."""

    def __init__(self, real: Floats) -> None:
        self.real = real
        self._near: Rows = faiss.knn(real, real, NEIGHBOURS + 1, metric=faiss.METRIC_INNER_PRODUCT)[1][:, 1:]
        steps = real - real[self._near[np.arange(len(real)), np.random.default_rng(5).integers(0, NEAR, len(real))]]
        values, axes = np.linalg.eigh(steps.T @ steps / len(steps))
        self._root: Floats = (axes * np.sqrt(np.maximum(values, 0))).T.astype(np.float32)

    def draw(self, stream: int, block: int, count: int) -> Floats:
        """Unit vectors `(count, 384)`; the same for the same numbers."""
        random = np.random.default_rng([stream, block])
        at, weight = random.integers(0, len(self.real), count), random.uniform(LEAST, 1, (count, 1)).astype(np.float32)
        other = self._near[at, random.integers(0, NEIGHBOURS, count)]
        noise = (NOISE * np.exp(SPREAD * random.standard_normal((count, 1)))).astype(np.float32)
        mixed: Floats = weight * self.real[at] + (1 - weight) * self.real[other]
        mixed += noise * (random.standard_normal((count, self.real.shape[1]), dtype=np.float32) @ self._root)
        mixed /= np.linalg.norm(mixed, axis=1, keepdims=True)
        return mixed


def exact(queries: Floats, vectors: Floats, k: int = K) -> Rows:
    """Rows of the `k` vectors with the largest inner product, `(q, k)`, by comparing with every one."""
    found: Rows = faiss.knn(np.ascontiguousarray(queries), vectors, k, metric=faiss.METRIC_INNER_PRODUCT)[1]
    return found


def recall(found: Rows, truth: Rows) -> float:
    """Share of the true ones that were found; rows `(q, k)` of both."""
    return sum(len(set(a) & set(b)) for a, b in zip(found.tolist(), truth.tolist(), strict=True)) / truth.size


def likeness(vectors: Floats, name: str) -> dict[str, float | str]:
    """How the neighbourhoods look: median similarity of the 1st and 10th neighbour, and local intrinsic dimension (Levina and Bickel, 20
    neighbours)."""
    near = np.sqrt(np.maximum(2 - 2 * faiss.knn(vectors[:1_000], vectors, 21, metric=faiss.METRIC_INNER_PRODUCT)[0][:, 1:], 1e-9))
    dimension = -1 / np.mean(np.log(near[:, :-1] / near[:, -1:]), axis=1)
    first, tenth = (float(np.median(1 - near[:, at] ** 2 / 2)) for at in (0, 9))
    return {"name": name, "rows": len(vectors), "first": first, "tenth": tenth, "intrinsic_dimension": float(np.median(dimension))}


@dataclass(frozen=True)
class Dataset:
    """The first `rows` items. What is derived is made when first asked for and then read from `state`."""

    state: Path
    rows: int

    @cached_property
    def source(self) -> Source:
        return Source(real_vectors(self.state))

    @property
    def _largest(self) -> int:
        made = [int(path.stem.removeprefix("vectors-")) for path in self.state.glob("vectors-*.npy")]
        return max((rows for rows in made if rows >= self.rows), default=0)

    @cached_property
    def vectors(self) -> Floats:
        """`(rows, 384)` float32, mapped from the file."""
        if not self._largest:
            path = self.state / f"vectors-{self.rows}.npy"
            aside = path.with_suffix(".part")
            with aside.open("wb") as file:
                header = {"descr": "<f4", "fortran_order": False, "shape": (self.rows, DIMENSION)}
                np.lib.format.write_array_header_1_0(file, header)
                for start in range(0, self.rows, BLOCK):
                    self.source.draw(1, start // BLOCK, min(BLOCK, self.rows - start)).tofile(file)
            aside.rename(path)
        mapped: Floats = np.load(self.state / f"vectors-{self._largest}.npy", mmap_mode="r")[: self.rows]
        return mapped

    @cached_property
    def queries(self) -> Floats:
        kept: Floats = self._kept("queries", lambda: self.source.draw(2, 0, DEV + REPORTED))
        return kept

    def extra(self, block: int, count: int) -> Floats:
        """Vectors that are not in the set, to be written while searches run."""
        return self.source.draw(3, block, count)

    @property
    def dev(self) -> Floats:
        return self.queries[:DEV]

    @property
    def reported(self) -> Floats:
        return self.queries[DEV:]

    @property
    def filtered(self) -> Floats:
        return self.reported[:FILTERED]

    @cached_property
    def truth(self) -> Rows:
        kept: Rows = self._kept(f"truth-{self.rows}", lambda: exact(self.queries, self.vectors))
        return kept

    @cached_property
    def shelves(self) -> dict[str, NDArray[np.bool_]]:
        """Which of the items stand on each shelf, such as `r50` (a random half) and `c2` (2 %, whole clusters)."""
        names = [shape + share for shape in SHAPES for share in SHARES]
        table = self._kept(f"shelves-{self.rows}", lambda: np.stack([self._shelf(name[0], SHARES[name[1:]]) for name in names]))
        return dict(zip(names, table, strict=True))

    def _shelf(self, shape: str, share: float) -> NDArray[np.bool_]:
        seed = list(SHARES.values()).index(share)
        random, count = np.random.default_rng([4, ord(shape), seed]), max(K, round(share * self.rows))
        if shape == "r":
            order = random.random(self.rows)
        elif shape == "d":
            order = -(self.vectors @ self.source.real[random.integers(0, len(self.source.real))])
        else:
            order = random.permutation(self._clusters_count)[self._clusters].astype(np.float64) + random.random(self.rows)
        on: NDArray[np.bool_] = np.zeros(self.rows, np.bool_)
        on[np.argpartition(order, count - 1)[:count]] = True
        return on

    @property
    def _clusters_count(self) -> int:
        return max(16, min(CLUSTERS, self.rows // 100))

    @cached_property
    def _clusters(self) -> Rows:
        means = faiss.Kmeans(DIMENSION, self._clusters_count, niter=8, seed=6, spherical=True, max_points_per_centroid=64)
        means.train(np.ascontiguousarray(self.vectors[: 64 * CLUSTERS]))
        nearest: Rows = faiss.knn(self.vectors, means.centroids, 1, metric=faiss.METRIC_INNER_PRODUCT)[1][:, 0]
        return nearest

    @cached_property
    def filtered_truth(self) -> dict[str, Rows]:
        """For each shelf the rows of the ten nearest items on it, for the queries asked under a filter."""

        def find() -> NDArray[np.int64]:
            allowed = [np.flatnonzero(on) for on in self.shelves.values()]
            return np.stack([rows[exact(self.filtered, self.vectors[rows])] for rows in allowed])

        return dict(zip(self.shelves, self._kept(f"filtered-{self.rows}", find), strict=True))

    def _kept(self, name: str, make: Any) -> Any:
        path = self.state / f"{name}.npy"
        if not path.exists():
            aside = path.with_suffix(".part.npy")
            np.save(aside, make())
            aside.rename(path)
        return np.load(path)

    def attributes(self, row: int) -> dict[str, Any]:
        """What an item tells besides its embedding, shelves left out."""
        spread = int.from_bytes(hashlib.blake2b(row.to_bytes(8, "little"), digest_size=6).digest(), "little")
        return {
            "language": LANGUAGES[spread % 13 % 8],
            "year": 1900 + spread // 13 % 124,
            "authors": [f"Author {spread // 1_612 % 50_000}"],
        }

    def items(self, start: int, stop: int) -> Iterator[dict[str, Any]]:
        """Items `start` to `stop`, without their embeddings; the id of row 7 is "i7"."""
        table = np.stack(list(self.shelves.values()))[:, start:stop].T
        names = list(self.shelves)
        for row, on in zip(range(start, stop), table, strict=True):
            shelves = [names[at] for at in np.flatnonzero(on)]
            yield {"id": f"i{row}", "title": f"Item {row}", "attributes": {**self.attributes(row), "shelves": shelves}}


def describe(data: Dataset) -> dict[str, Any]:
    """Real and drawn side by side, at the number of the real ones."""
    real, count = data.source.real, len(data.source.real)
    shuffled = real[np.random.default_rng(7).permutation(count)]
    drawn = np.concatenate([data.source.draw(1, block, BLOCK) for block in range(-(-count // BLOCK))])[:count]
    return {"rows": data.rows, "likeness": [likeness(shuffled, "real"), likeness(drawn, "drawn"), likeness(data.vectors, "drawn, all")]}


def prepare(state: Path, rows: int) -> Dataset:
    """The dataset with everything that takes time made."""
    state.mkdir(parents=True, exist_ok=True)
    data = Dataset(state, rows)
    for made in (data.vectors, data.queries, data.truth, data.shelves, data.filtered_truth):
        assert len(made)
    return data


def digest(data: Dataset) -> str:
    """Which vectors these are: a hash of the first block."""
    return hashlib.sha256(json.dumps(data.rows).encode() + np.ascontiguousarray(data.vectors[:BLOCK]).tobytes()).hexdigest()[:12]
