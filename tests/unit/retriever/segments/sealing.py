"""Vectors as they lie in real spaces, catalogues that hold them, and segments sealed from these."""

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np

from retriever.items import Floats, Rows
from retriever.segments.build import build
from retriever.segments.sealed import Sealed

FOREVER = 1 << 40


def unit(vectors: Floats) -> Floats:
    scaled: Floats = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return scaled


def topics(rows: int, dimension: int, seed: int = 0) -> Floats:
    """Unit vectors `(rows, dimension)` around a hundred topics of unequal size, with a spectrum that falls like that of text."""
    world, rng = np.random.default_rng(1234), np.random.default_rng(seed)
    spectrum = np.arange(1, dimension + 1) ** -0.5
    centres = world.standard_normal((100, dimension)) * spectrum
    popularity = np.arange(1, 101) ** -0.7
    chosen = rng.choice(100, rows, p=popularity / popularity.sum())
    return unit((centres[chosen] + rng.standard_normal((rows, dimension)) * spectrum).astype(np.float32))


def catalogue(path: Path, vectors: Floats, numbers: Rows, space: int = 1, first: int = 1) -> Path:
    """A database with what `build` reads: row i has version `first` + 2 i."""
    with closing(sqlite3.connect(path)) as db, db:
        columns = "version INTEGER PRIMARY KEY, space INTEGER, number INTEGER, embedding BLOB, UNIQUE (space, number)"
        db.execute(f"CREATE TABLE IF NOT EXISTS vectors ({columns})")
        rows = [
            (first + 2 * at, space, int(number), vector.tobytes()) for at, (number, vector) in enumerate(zip(numbers, vectors, strict=True))
        ]
        db.executemany("INSERT INTO vectors VALUES (?, ?, ?, ?)", rows)
    return path


def seal(folder: Path, vectors: Floats, numbers: Rows, kind: str = "hnsw") -> Sealed:
    path = catalogue(folder / f"{kind}.sqlite", vectors, numbers)
    entry = build(path, folder, 1, vectors.shape[1], kind, 0, FOREVER, 1)
    assert entry is not None
    return Sealed.open(folder, entry)


def nearest(queries: Floats, vectors: Floats, numbers: Rows, n: int) -> Rows:
    """By a scan in float64: numbers `(q, min(n, rows))`, best first, equal scores by the smaller number."""
    found = np.empty((len(queries), min(n, len(numbers))), np.int64)
    for at, scores in enumerate(queries.astype(np.float64) @ vectors.T.astype(np.float64)):
        least = np.sort(scores)[-found.shape[1] :][:1]
        kept = np.flatnonzero(scores >= least) if len(least) else np.empty(0, np.int64)
        found[at] = numbers[kept[np.lexsort((numbers[kept], -scores[kept]))]][: found.shape[1]]
    return found


def recall(found: Rows, truth: Rows) -> float:
    return float(np.mean([len(set(one) & set(other)) / len(other) for one, other in zip(found.tolist(), truth.tolist(), strict=True)]))
