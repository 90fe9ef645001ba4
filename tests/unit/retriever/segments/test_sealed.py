import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from pyroaring import BitMap

from retriever.allowed import Allowed
from retriever.items import Floats, Rows
from retriever.segments.build import build
from retriever.segments.sealed import Sealed

DIM = 24


def unit(vectors: Floats) -> Floats:
    scaled: Floats = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return scaled.astype(np.float32)


def catalogue(path: Path, vectors: Floats, numbers: Rows, first: int = 1) -> Path:
    """A database with only what `build` reads; versions ascend from `first`, and every third version belongs to another space."""
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(
            "CREATE TABLE IF NOT EXISTS vectors"
            " (version INTEGER PRIMARY KEY, space INTEGER, number INTEGER, embedding BLOB, UNIQUE (space, number))"
        )
        rows = [(first + at + at // 2, 1, int(number), vector.tobytes()) for at, (number, vector) in enumerate(zip(numbers, vectors))]
        db.executemany("INSERT INTO vectors VALUES (?, ?, ?, ?)", rows)
    return path


def sealed(folder: Path, vectors: Floats, numbers: Rows, kind: str = "hnsw") -> Sealed:
    entry = build(catalogue(folder / "c.sqlite", vectors, numbers), folder, 1, vectors.shape[1], kind, 0, 1 << 40, 1)
    assert entry is not None
    return Sealed.open(folder, entry)


def test_a_sealed_segment_holds_what_the_catalogue_holds(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    vectors, numbers = unit(rng.standard_normal((300, DIM))), rng.permutation(1000)[:300]
    segment = sealed(tmp_path, vectors, numbers)
    assert len(segment) == 300
    rows = segment.locate(numbers)
    assert (segment.vectors[rows] == vectors).all()
    assert (segment.numbers[rows] == numbers).all()
    assert segment.locate(np.array([1001, -1, 10**9])).tolist() == [-1, -1, -1]
    scores, found = segment.search(vectors[:5], 3, 50)
    assert found[:, 0].tolist() == numbers[:5].tolist()
    scores, found = segment.scan(vectors[:5], 3, Allowed(BitMap(numbers[:2].tolist())), None)
    assert found[0, 0] == numbers[0] and found[0, 2] == -1
