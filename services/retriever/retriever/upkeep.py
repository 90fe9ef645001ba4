"""Decides what of the index is to be built next, and puts it in its place. Knows nothing of processes and threads.

Vectors in memory are sealed when there are SEAL_ROWS of them. Sealed segments of about one size are merged when there are FANOUT of them,
as in a log-structured merge tree (O'Neil et al. 1996) with tiers: each vector is built into about log(n / SEAL_ROWS, FANOUT) segments in
its life, and a search looks into at most FANOUT - 1 of each size. A segment with many dead rows is built again without them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from retriever.attributes import Attributes
from retriever.identity import Identity
from retriever.items import Rows
from retriever.memory import Memory
from retriever.segments.entry import Entry
from retriever.segments.sealed import Sealed
from retriever.segments.store import BaseEntry, SegmentStore
from retriever.vectorspace import Closed, VectorSpace
from retriever.view import View

SEAL_ROWS = 4_096
"""A scan of so many vectors costs about what a search of a large graph does."""
FANOUT = 6
MOST_DEAD = 0.25
"""Of a segment's rows, before it is built again."""
LOG_ROWS = 50_000
"""Changed items, or a tenth of all if that is more, after which the base of attributes is built again."""


@dataclass(frozen=True)
class Seal:
    """Build one segment of the vectors with versions in [lo, hi)."""

    identity: Identity
    lo: int
    hi: int
    whole: bool = False
    """All of the space, because somebody asked for one segment."""

    def asked(self, catalogue: Path, folder: Path, threads: int) -> dict[str, Any]:
        """For `builder`: what the child process is to do."""
        identity = self.identity
        return {
            "do": "seal",
            "catalogue": str(catalogue),
            "folder": str(folder),
            "space": identity.space,
            "dimension": identity.dimension,
            "kind": identity.kind,
            "lo": self.lo,
            "hi": self.hi,
            "threads": threads,
        }

    def files(self, built: dict[str, Any]) -> set[str]:
        """The names of what was built."""
        return set(built["entry"]["files"]) if built["entry"] else set()

    def opened(self, folder: Path, built: dict[str, Any]) -> Sealed | None:
        """The segment that was built, if there was anything to build; raises SegmentDamaged for unsound files. Reads all of them."""
        return Sealed.open(folder, Entry.from_json(built["entry"])) if built["entry"] else None

    def installed(self, view: View, store: SegmentStore, built: dict[str, Any], segment: Any, killed: Rows) -> View:
        """The view with the opened segment, of which the versions `killed` have died since it was begun."""
        space = view.spaces.get(self.identity.space)
        if space is None:  # dropped meanwhile
            return view
        entry = Entry.from_json(built["entry"]) if built["entry"] else None
        store.replace(self.identity.space, self.lo, self.hi, entry, view.generation)
        return replace(view, spaces={**view.spaces, self.identity.space: space.sealed(self.lo, self.hi, segment, killed)})


@dataclass(frozen=True)
class Base:
    """Build the base of attributes, which then holds at least the first `since` rows of the log."""

    since: int

    def asked(self, catalogue: Path, folder: Path, threads: int) -> dict[str, Any]:
        """For `builder`: what the child process is to do."""
        return {"do": "base", "catalogue": str(catalogue), "folder": str(folder), "threads": threads}

    def files(self, built: dict[str, Any]) -> set[str]:
        """The names of what was built."""
        return set(built["entry"]["files"])

    def opened(self, folder: Path, built: dict[str, Any]) -> Attributes:
        """The base that was built; raises SegmentDamaged for an unsound file."""
        entry = BaseEntry.from_json(built["entry"])
        entry.file.verify(folder / entry.name)
        return Attributes.open(folder / entry.name)

    def installed(self, view: View, store: SegmentStore, built: dict[str, Any], base: Any, killed: Rows) -> View:
        """The view with the opened base, and what was written since on top."""
        attributes = view.attributes.rebased(base, self.since)
        store.replace_base(BaseEntry.from_json(built["entry"]), view.generation)
        return replace(view, attributes=attributes)


Job = Seal | Base


def next_job(view: View, merging: frozenset[int], *, based: bool = True) -> Job | None:
    """What is most due; None when nothing is. Spaces in `merging` are to become one segment each.

    `based` says that there is a base of attributes on the disk: without one every start has to make it from all items.
    """
    spaces = sorted(view.spaces.values(), key=lambda space: space is not view.content)
    for space in spaces:
        if space.identity.space in merging and not _one_segment(space):
            return Seal(space.identity, min(part.lo for part in space.parts), _end(view, space), whole=True)
    for space in spaces:
        if sum(len(memory) for memory in space.memories) >= SEAL_ROWS:
            return Seal(space.identity, _first(space), _end(view, space))
    if view.attributes.changed_rows > max(LOG_ROWS, len(view) // 10) or (not based and len(view) > LOG_ROWS):
        return Base(view.attributes.changed_rows)
    for space in spaces:
        for part in space.closed:
            if len(part.dead) > MOST_DEAD * len(part):
                return Seal(space.identity, part.lo, part.hi)
    return None


def begun(view: View, job: Job) -> View:
    """The view while `job` is done: the memory that it seals takes no more vectors."""
    if not isinstance(job, Seal):
        return view
    space = view.spaces[job.identity.space]
    if space.memories[-1].lo >= job.hi or not len(space.memories[-1]):
        return view
    return replace(view, spaces={**view.spaces, job.identity.space: space.frozen(job.hi)})


def _one_segment(space: VectorSpace) -> bool:
    return not any(len(memory) for memory in space.memories) and len(space.closed) <= 1 and not space.dead


def _end(view: View, space: VectorSpace) -> int:
    """Beyond the last version of all parts."""
    return view.catalogue.next_version() if len(space.memories[-1]) else space.memories[-1].lo


def _first(space: VectorSpace) -> int:
    """The version from which on to build: that of the first memory, or of the segments before it that are due to be merged with it."""
    lo = min(memory.lo for memory in space.memories if len(memory))
    rows = sum(part.live for part in space.parts if part.lo >= lo)
    before: Sequence[Closed | Memory] = sorted((part for part in space.closed if part.lo < lo), key=lambda part: -part.lo)
    while len(run := _run(before, rows)) >= FANOUT - 1:
        rows += sum(part.live for part in run)
        lo, before = run[-1].lo, before[len(run) :]
    return lo


def _run(before: Sequence[Closed | Memory], rows: int) -> Sequence[Closed | Memory]:
    """The segments right before that are not much larger than `rows`, the nearest first."""
    small = np.array([part.live <= 2 * rows for part in before], np.bool_)
    return before[: len(before) if small.all() else int(small.argmin())]
