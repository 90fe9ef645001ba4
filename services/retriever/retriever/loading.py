"""Makes the view from what is on disk. Knows nothing of how it is kept up to date.

SQLite says what there is; sealed segments and the base of attributes are taken where they are sound and fit, and what they lack is read
from SQLite. Nothing derived is believed: versions and item numbers of every segment are compared with those that SQLite has, and some
of the vectors, for segments of another catalogue can have the same numbers.
"""

from collections.abc import Sequence
from itertools import chain

import numpy as np
from pyroaring import BitMap

from retriever.attributes import Attributes
from retriever.bitmaps import of_numbers
from retriever.catalogue import Catalogue
from retriever.identity import Identity
from retriever.items import Rows
from retriever.memory import Memory
from retriever.names import Names
from retriever.segments.files import unload
from retriever.segments.sealed import Sealed
from retriever.segments.store import BaseEntry, SegmentStore
from retriever.vectorspace import Closed, VectorSpace
from retriever.view import View
from servicekit import logs

COMPARED = 16
"""Vectors of each segment."""
PORTION = 4_096
"""Vectors or items read at once."""
LOG = logs.get(__name__)


def load(catalogue: Catalogue, store: SegmentStore, lenders: int) -> View:
    """The view of the catalogue as it is now. Raises StorageFailed when SQLite can not be read."""
    meta = catalogue.meta()
    segments, base = store.open(meta.generation)
    names, numbers = Names(), BitMap()
    for some, ids in catalogue.ids(PORTION):
        names.write(some, ids)
        numbers |= of_numbers(some)
    spaces = {}
    for identity in catalogue.vector_spaces():
        spaces[identity.space] = _space(catalogue, identity, segments.get(identity.space, ()))
    store.keep({number: {part.lo for part in space.closed} for number, space in spaces.items()})
    attributes = attributes_of(catalogue, store, base, numbers)
    count = int(numbers.max()) + 1 if numbers else 0
    view = View(catalogue, meta, names, attributes, spaces, count, catalogue.centre(), lenders, catalogue.spaces())
    return view.with_sources()


def attributes_of(catalogue: Catalogue, store: SegmentStore, base: BaseEntry | None, live: BitMap) -> Attributes:
    """The base, if there is one, with everything that was written after it; `live` are the items that there are."""
    attributes = None if base is None else _opened(store, base)
    if base is None or attributes is None:
        return Attributes.base(chain.from_iterable(catalogue.changed_since(-1, PORTION)))
    if gone := attributes.live - live:
        attributes = attributes.remove(list(gone))
    for rows in catalogue.changed_since(base.generation, PORTION):
        attributes = attributes.put([number for number, _ in rows], [values for _, values in rows])
    return attributes


def _opened(store: SegmentStore, base: BaseEntry) -> Attributes | None:
    try:
        return Attributes.open(store.folder / base.name)
    except ValueError as error:  # written by another version
        LOG.warning("attributes_foreign", reason=str(error))
        return None


def _space(catalogue: Catalogue, identity: Identity, segments: Sequence[Sealed]) -> VectorSpace:
    versions, numbers = catalogue.versions(identity.space)
    closed, memories, at = [], [], 0
    for segment in sorted(segments, key=lambda segment: segment.lo):
        if segment.lo < at or (part := _closed(catalogue, identity, segment, versions, numbers)) is None:
            LOG.warning("segment_foreign", space=identity.name, lo=segment.lo, hi=segment.hi)
            continue
        if len(before := _between(versions, at, segment.lo)):
            memories.append(_memory(catalogue, identity, at, versions[before], numbers[before]))
        closed.append(part)
        at = segment.hi
    rest = _between(versions, at, np.iinfo(np.int64).max)
    memories.append(_memory(catalogue, identity, at, versions[rest], numbers[rest]))
    return VectorSpace(identity, tuple(closed), tuple(memories))


def _closed(catalogue: Catalogue, identity: Identity, segment: Sealed, versions: Rows, numbers: Rows) -> Closed | None:
    """The segment with what is dead in it; None when it is not of this catalogue or nothing in it is alive."""
    present = _between(versions, segment.lo, segment.hi)
    if not len(present) or segment.vectors.shape != (len(segment.versions), identity.dimension):
        return None
    places = present[np.minimum(np.searchsorted(versions[present], segment.versions), len(present) - 1)]
    alive = (versions[places] == segment.versions) & (numbers[places] == segment.numbers)
    if int(alive.sum()) != len(present):
        return None
    some = np.flatnonzero(alive)[:: max(1, len(present) // COMPARED)]
    if not np.array_equal(segment.vectors[some], catalogue.vectors(segment.versions[some].tolist(), identity.dimension)):
        return None
    unload(segment.versions)
    return Closed.of(segment, of_numbers(segment.numbers[~alive]))


def _between(versions: Rows, lo: int, hi: int) -> Rows:
    return np.arange(*np.searchsorted(versions, (lo, hi)))


def _memory(catalogue: Catalogue, identity: Identity, lo: int, versions: Rows, numbers: Rows) -> Memory:
    memory = Memory.empty(lo, identity.dimension)
    for start in range(0, len(versions), PORTION):
        portion = slice(start, start + PORTION)
        vectors = catalogue.vectors(versions[portion].tolist(), identity.dimension)
        memory = memory.appended(numbers[portion], versions[portion], vectors)
    return memory
