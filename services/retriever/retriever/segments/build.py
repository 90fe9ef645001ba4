"""Builds a sealed segment from SQLite, usually in a process of its own. Knows nothing of those who search meanwhile."""

import secrets
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from retriever.items import Rows
from retriever.segments import clusters
from retriever.segments.clusters import Clusters
from retriever.segments.entry import Entry
from retriever.segments.files import GRAPH_PAD, Aside, flat_pad, write_index
from retriever.segments.kinds import KINDS, SKETCH, Vectors
from retriever.spread import Moments

PORTION = 4_096
"""Vectors read at once."""
FEW = 2**18
"""Versions of a range that are counted on the pages that hold its vectors, which are read next anyway."""
COUNT_FEW = "SELECT count(*) FROM vectors WHERE +space = ? AND version >= ? AND version < ?"
COUNT_MANY = "SELECT count(*) FROM vectors WHERE space = ? AND +version >= ? AND +version < ?"
"""The plus keeps SQLite off an index: the one on (space, number) is read whole, which is less than the vectors of many."""


def build(catalogue: Path, folder: Path, space: int, dimension: int, kind: str, lo: int, hi: int, threads: int) -> Entry | None:
    """Seals all vectors of `space` with `lo` <= version < `hi`; None when there are none.

    The files get their names only when all are on disk. Raises sqlite3.Error or OSError (disk full, say), ValueError
    when vectors are not `dimension` long or an item has two, and then leaves nothing behind.
    """
    faiss.omp_set_num_threads(threads)
    read = _read(catalogue, space, dimension, lo, hi)
    if read is None:
        return None
    vectors, numbers, versions = read
    ascending = np.sort(numbers)
    if len(twice := ascending[1:][np.diff(ascending) == 0]):
        raise ValueError(f"number {twice[0]} comes twice in space {space}; the catalogue is damaged, restore it from a snapshot")
    grouped, order = clusters.sort(vectors.array)
    numbers, versions = numbers[order], versions[order]
    name = f"{space}-{lo}-{hi}-{secrets.token_hex(6)}"
    with Aside(folder, name) as aside:
        aside.write("vectors", write_index(vectors.flat, flat_pad(dimension)))
        aside.write("index", write_index(KINDS[kind].build(vectors, grouped, numbers), GRAPH_PAD, KINDS[kind].flags))
        if not KINDS[kind].lists:
            aside.write("sketch", write_index(SKETCH.build(vectors, grouped, numbers), GRAPH_PAD))
        _write_rows(aside, numbers, versions)
        _write_shape(aside, grouped, Moments.about(vectors.array))
        return Entry(name, kind, lo, hi, len(numbers), aside.commit())


def _read(catalogue: Path, space: int, dimension: int, lo: int, hi: int) -> tuple[Vectors, Rows, Rows] | None:
    """Vectors, numbers and versions `(n,)` in the order of versions, all of one moment."""
    with closing(sqlite3.connect(f"{catalogue.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)) as db:
        db.execute("BEGIN")
        counted = COUNT_FEW if hi - lo < FEW else COUNT_MANY
        (rows,) = db.execute(counted, (space, lo, hi)).fetchone()
        if not rows:
            return None
        vectors, numbers, versions = Vectors(rows, dimension), np.empty(rows, np.int64), np.empty(rows, np.int64)
        select = "SELECT version, number, embedding FROM vectors WHERE space = ? AND version >= ? AND version < ? ORDER BY version"
        cursor, at = db.execute(select, (space, lo, hi)), 0
        while portion := cursor.fetchmany(PORTION):
            end = at + len(portion)
            versions[at:end] = [version for version, _, _ in portion]
            numbers[at:end] = [number for _, number, _ in portion]
            block = np.frombuffer(b"".join(embedding for _, _, embedding in portion), "<f4")
            vectors.array[at:end] = block.reshape(len(portion), dimension)
            at = end
    return vectors, numbers, versions


def _write_rows(aside: Aside, numbers: Rows, versions: Rows) -> None:
    aside.write("numbers", lambda file: np.save(file, numbers, allow_pickle=False))
    aside.write("versions", lambda file: np.save(file, versions, allow_pickle=False))


def _write_shape(aside: Aside, grouped: Clusters, moments: Moments) -> None:
    def write(file: Any) -> None:
        np.savez(file, centroids=grouped.centroids, starts=grouped.starts, total=moments.total, outer=moments.outer)

    aside.write("shape", write)
