"""A sealed segment: an immutable, mapped piece of a vector space. Knows nothing of which of its rows are dead.

Its rows lie in the order of their clusters, so that the vectors near a query also lie near each other on disk and in memory.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self, cast
from weakref import WeakKeyDictionary

import faiss
import numpy as np
from numpy.typing import NDArray

from retriever.allowed import Allowed
from retriever.items import Bools, Doubles, Floats, Rows
from retriever.segments.clusters import Clusters
from retriever.segments.entry import Entry, SegmentDamaged
from retriever.segments.files import ALIGNMENT, GRAPH_PAD, flat_pad, index_of, mapped
from retriever.segments.kinds import KINDS, SKETCH, Kind
from retriever.segments.probing import chosen, near, probed
from retriever.segments.scan import exact, ordered, padded, products
from retriever.spread import Moments

SUFFIXES = ("vectors", "index", "numbers", "versions", "shape")
"""Of the files of every segment; those of graphs have a "sketch" too."""
DENSE = 4
"""A table of all numbers in the range is kept while the range is at most this many times the rows."""
FEW = 8
"""Fewer allowed rows than one in this many are looked up, more are found by a look at every row."""
SCANNED_SPARE = 300
"""So many more are rescored of a probed scan: filters can leave many rows that are alike and all far from the query."""
CODES_EACH = 25
"""Codes that are compared in the time that one vector is scored in."""
COUNTED = 16
"""Where one row in so many is allowed, they are counted in each cluster from one row in so many."""


@dataclass(frozen=True)
class Sealed:
    """Vectors of versions `lo` <= v < `hi`; `numbers` and `versions` `(n,)` int64, `vectors` `(n, dim)` float32 mapped."""

    kind: str
    lo: int
    hi: int
    numbers: Rows
    versions: Rows
    vectors: Floats
    moments: Moments
    clusters: Clusters
    _index: Any
    _codes: NDArray[np.uint8] | None
    """What the sketch of a graph is opened from."""
    _mapped: tuple[Any, ...]
    """What the index reads from and FAISS does not keep alive."""

    @classmethod
    def open(cls, folder: Path, entry: Entry) -> Self:
        """Raises SegmentDamaged, naming the file and the reason, before FAISS or numpy has read any of it."""
        if entry.kind not in KINDS:
            raise SegmentDamaged(f"segment {entry.name!r} is of kind {entry.kind!r}; this version knows {', '.join(sorted(KINDS))}")
        paths = {suffix: folder / f"{entry.name}.{suffix}" for suffix in (*SUFFIXES, *(() if KINDS[entry.kind].lists else ("sketch",)))}
        if lost := {path.name for path in paths.values()} ^ set(entry.files):
            raise SegmentDamaged(f"the manifest of segment {entry.name!r} does not match its kind: {', '.join(sorted(lost))}")
        for path in paths.values():
            entry.files[path.name].verify(path)
        segment = cls._open(paths, entry)
        segment._agree(entry)
        return segment

    @classmethod
    def _open(cls, paths: dict[str, Path], entry: Entry) -> Self:
        with np.load(paths["shape"], allow_pickle=False) as shape:
            centroids, starts, total, outer = shape["centroids"], shape["starts"], shape["total"], shape["outer"]
        dimension, pad = len(total), flat_pad(len(total))
        vectors_mapping, index_mapping = mapped(paths["vectors"]), mapped(paths["index"])
        flat, index = index_of(vectors_mapping, pad), index_of(index_mapping, GRAPH_PAD, KINDS[entry.kind].flags)
        if not KINDS[entry.kind].refine:
            index.storage, index.own_fields = flat, False
        offset = ALIGNMENT if flat.ntotal else 0
        return cls(
            entry.kind,
            entry.lo,
            entry.hi,
            np.asarray(np.load(paths["numbers"], mmap_mode="r", allow_pickle=False)),
            np.asarray(np.load(paths["versions"], mmap_mode="r", allow_pickle=False)),
            np.ndarray((flat.ntotal, dimension), np.float32, vectors_mapping, offset),
            Moments(entry.rows, total, outer),
            Clusters(centroids, starts),
            index,
            mapped(paths["sketch"]) if "sketch" in paths else None,
            (flat, vectors_mapping, index_mapping),
        )

    def _agree(self, entry: Entry) -> None:
        """Raises SegmentDamaged when files that are whole do not belong together."""
        lengths = {len(self.numbers), len(self.versions), len(self.vectors), self._index.ntotal, int(self.clusters.starts[-1])}
        if lengths != {entry.rows}:
            raise SegmentDamaged(f"segment {entry.name!r} should have {entry.rows} rows, its files have {sorted(lengths)}")
        if self._twice():
            raise SegmentDamaged(f"in segment {entry.name!r} a number comes twice; the segment must be built again")

    def _twice(self) -> bool:
        """Whether a number comes twice: then the table of local rows by number has fewer of them."""
        keys, rows = self._inverse
        return bool(np.count_nonzero(rows >= 0) < len(self) if isinstance(keys, int) else (np.diff(keys) == 0).any())

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def _kind(self) -> Kind:
        return KINDS[self.kind]

    @cached_property
    def _inverse(self) -> tuple[Rows, Rows] | Any:
        """Local rows by number: one int32 table over the range, or the sorted numbers with their rows."""
        first, last = int(self.numbers.min()), int(self.numbers.max())
        if last - first < DENSE * len(self):
            table = np.full(last - first + 1, -1, np.int32)
            table[self.numbers - first] = np.arange(len(self), dtype=np.int32)
            return first, table
        order = np.argsort(self.numbers)
        return self.numbers[order], order

    def locate(self, numbers: Rows) -> Rows:
        """The local row of each item number `(m,)`, -1 where it has none here."""
        keys, rows = self._inverse
        if isinstance(keys, int):
            places = numbers - keys
            inside = (places >= 0) & (places < len(rows))
            return np.where(inside, rows[np.where(inside, places, 0)], -1).astype(np.int64)
        places = np.minimum(np.searchsorted(keys, numbers), len(keys) - 1)
        return np.where(keys[places] == numbers, rows[places], -1)

    def rows(self, allowed: Allowed) -> Rows:
        """The local rows of the allowed items, ascending."""
        if allowed.count * FEW < len(self):
            found = self.locate(allowed.rows())
            return np.sort(found[found >= 0])
        return np.flatnonzero(self.marked(allowed))

    @cached_property
    def _spreads(self) -> WeakKeyDictionary[Allowed, Rows]:
        return WeakKeyDictionary()

    def spread(self, allowed: Allowed) -> Rows:
        """About how many allowed rows each cluster has `(c,)`; 0 only where there is none."""
        if (known := self._spreads.get(allowed)) is None:
            known = self._spreads[allowed] = self._counted(allowed)
        return known

    def _counted(self, allowed: Allowed) -> Rows:
        if allowed.count * COUNTED < len(self):
            return np.diff(self._local(allowed)[1])
        numbers, of = self._counted_of
        return np.maximum(COUNTED * np.bincount(of[allowed.has(numbers)], minlength=len(self.clusters)), 1)

    @cached_property
    def _counted_of(self) -> tuple[Rows, NDArray[np.int32]]:
        """Numbers and clusters of one row in COUNTED, together in memory."""
        of = np.repeat(np.arange(len(self.clusters), dtype=np.int32), np.diff(self.clusters.starts))
        return self.numbers[::COUNTED].copy(), of[::COUNTED].copy()

    def density(self, likeness: Floats, allowed: Allowed) -> Doubles:
        """About the share of the rows near each query that is allowed `(q,)`; `likeness` `(q, c)` is that of the clusters."""
        return near(self.clusters, likeness, self.spread(allowed))

    def marked(self, allowed: Allowed) -> Bools:
        """For each local row whether it is allowed."""
        return allowed.bools(int(self.numbers.max()) + 1)[self.numbers]

    @property
    def lists(self) -> bool:
        """Whether its index is an inverted file, which a filter can be given to, and not a graph."""
        return self._kind.lists

    @cached_property
    def _sketch(self) -> Any:
        """Codes of a graph's rows. FAISS copies them, so they are in memory only once a filter has needed them."""
        return index_of(cast("NDArray[np.uint8]", self._codes), GRAPH_PAD)

    def effort(self, n: int) -> int:
        """What recall@n of .98 needs here."""
        return self._kind.effort(len(self), n)

    def search(self, queries: Floats, n: int, effort: int) -> tuple[Floats, Rows]:
        """The about nearest `n` by inner product for each query `(q, dim)`, dead rows too.

        Returns scores float32 and item numbers int64, both `(q, n)`, best first, filled up with -inf and -1.
        """
        queries = np.ascontiguousarray(queries, np.float32)
        wanted = min(self._kind.fetched(n), len(self))
        if self.lists:
            _, numbers = self._index.search(queries, wanted, params=self._kind.parameters(min(effort, len(self.clusters)), None))
            return self._rescored(queries, numbers, n)
        scores, rows = self._index.search(queries, wanted, params=self._kind.parameters(max(min(effort, len(self)), wanted), None))
        numbers, missing = self.numbers[rows], rows < 0
        if self._kind.refine:
            scores = products(self.vectors, queries, np.maximum(rows, 0))
        if missing.any():
            scores, numbers = np.where(missing, -np.inf, scores), np.where(missing, -1, numbers)
        return padded(*ordered(scores, numbers), n)

    def exact(self, queries: Floats, n: int, allowed: Allowed) -> tuple[Floats, Rows]:
        """The nearest `n` of the allowed rows, in the shape of `search`; all of them are scored."""
        queries = np.ascontiguousarray(queries, np.float32)
        return padded(*exact(self.vectors, queries, n, self.rows(allowed), self.numbers), n)

    def scan(self, queries: Floats, n: int, allowed: Allowed, likeness: Floats, share: float) -> tuple[Floats, Rows]:
        """About the nearest `n` of the allowed rows, in the shape of `search`; `likeness` `(q, c)` is that of the clusters.

        Each query looks into the clusters that promise most and have `share` of all rows: at the
        vectors of the allowed rows where they are few, else at all codes, and only the vectors of the best by these are scored.
        """
        queries = np.ascontiguousarray(queries, np.float32)
        lists, likeness = chosen(self.clusters, likeness, self.spread(allowed), share)
        if allowed.count * CODES_EACH <= len(self):
            return self._scored(queries, n, allowed, lists)
        index, kind = (self._index, self._kind) if self._codes is None else (self._sketch, SKETCH)
        bits = allowed.bits()
        selector = faiss.IDSelectorBitmap(len(bits), faiss.swig_ptr(bits))
        wanted, parameters = min(kind.fetched(n) + SCANNED_SPARE, len(self)), kind.parameters(lists.shape[1], selector)
        return self._rescored(queries, probed(index, queries, wanted, lists, likeness, parameters), n)

    def _scored(self, queries: Floats, n: int, allowed: Allowed, lists: Rows) -> tuple[Floats, Rows]:
        """The nearest `n` of the allowed rows in the clusters `lists` `(q, l)`, filled up with -1."""
        rows, starts = self._local(allowed)
        scores, numbers = np.full((len(queries), n), -np.inf, np.float32), np.full((len(queries), n), -1)
        for at, row in enumerate(lists):
            taken = np.zeros(len(self.clusters) + 1, np.bool_)  # the last one is that of -1
            taken[row] = True
            found = exact(self.vectors, queries[at : at + 1], n, rows[np.repeat(taken[:-1], np.diff(starts))], self.numbers)
            scores[at], numbers[at] = (one[0] for one in padded(*found, n))
        return scores, numbers

    def _local(self, allowed: Allowed) -> tuple[Rows, Rows]:
        """The local rows of few allowed items, ascending, and where those of each cluster start `(c + 1,)`."""
        if (known := self._locals.get(allowed)) is None:
            rows = self.rows(allowed)
            known = self._locals[allowed] = rows, np.searchsorted(rows, self.clusters.starts)
        return known

    @cached_property
    def _locals(self) -> WeakKeyDictionary[Allowed, tuple[Rows, Rows]]:
        return WeakKeyDictionary()

    def _rescored(self, queries: Floats, numbers: Rows, n: int) -> tuple[Floats, Rows]:
        """The best `n` by their vectors of the item `numbers` `(q, m)`, where -1 is none."""
        scores = products(self.vectors, queries, np.maximum(self.locate(numbers), 0))
        return padded(*ordered(np.where(numbers < 0, -np.inf, scores), numbers), n)
