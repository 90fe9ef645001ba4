"""Decides what of the index is to be built next, and puts it in its place. Knows nothing of processes and threads.

Vectors in memory are sealed when there are SEAL_ROWS of them, together with the segments right before them until SMALL_ROWS are one
segment, and those are merged to MIDDLE_ROWS: that is quick, for segments below GRAPH_ROWS have codes of products and no graph. When they
hold GRAPH_ROWS they become one large segment, which is built beside the quick work; large ones of about one size are merged when there are
FANOUT of them, as in a log-structured merge tree (O'Neil et al. 1996) with tiers: each vector is built into about log(n / GRAPH_ROWS,
FANOUT) graphs in its life. A segment with many dead rows is built again without them.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from retriever.attributes import Attributes
from retriever.identity import Identity
from retriever.items import Rows
from retriever.segments.entry import Entry
from retriever.segments.kinds import small_kind
from retriever.segments.sealed import Sealed
from retriever.segments.store import BaseEntry, SegmentStore
from retriever.vectorspace import Closed, VectorSpace
from retriever.view import View

SEAL_ROWS = 8_192
"""A scan of so many vectors costs a third of what a search of a large graph does: they fit a processor's cache."""
SMALL_ROWS = 32_768
"""Of a segment that the quick seals still add to."""
MIDDLE_ROWS = 131_072
"""Of what smaller segments are merged to before there is enough for a graph."""
GRAPH_ROWS = 262_144
"""From here on a graph answers no later than the codes do, and for many results sooner; building it takes twenty times as long."""
POSTPONED_ROWS = 2**20
"""While rows are poured in no graph is begun before the small segments have so many: one build then does for all of them."""
FANOUT = 4
MOST_DEAD = 0.25
"""Of a segment's rows, before it is built again."""
LOG_ROWS, CHANGED_SHARE = 50_000, 0.1
"""Changed items, or the share of all if that is more, after which the base of attributes is built again."""

POURED_SHARE = 0.5
"""Of all items instead, while rows are poured in: else the same attributes would be read again and again."""

Lane = Literal["quick", "long", "base"]
"""What takes about a second, what may take many minutes, and the base of attributes: one of each can be under way."""


@dataclass(frozen=True)
class Seal:
    """Build one segment of the vectors with versions in [lo, hi), with an index of `kind`."""

    identity: Identity
    lo: int
    hi: int
    kind: str
    lane: Lane = "quick"
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
            "kind": self.kind,
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
    lane: Lane = "base"

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


def due(view: View, merging: Collection[int], running: Collection[Job], *, based: bool = True, poured: bool = False) -> Iterator[Job]:
    """What is due, the most pressing first, apart from what is `running`. Spaces in `merging` are to become one segment each.

    `based` says that there is a base of attributes on the disk: without one every start has to make it from all items. `poured` says
    that many rows are coming in.
    """
    busy = [job for job in running if isinstance(job, Seal)]
    spaces = [_Free(view, space, [job for job in busy if job.identity.space == space.identity.space]) for space in view.spaces.values()]
    spaces.sort(key=lambda free: free.space is not view.content)
    for free in spaces:
        if free.space.identity.space in merging and not free.busy and not free.whole:
            yield free.seal(min(part.lo for part in free.space.parts), free.end, whole=True)
    for free in spaces:
        if sum(map(len, free.memories)) >= SEAL_ROWS:
            yield replace(free.seal(free.first(), free.end), kind=small_kind(free.space.identity.kind), lane="quick")
    changed, most = view.attributes.changed_rows, max(LOG_ROWS, round(len(view) * (POURED_SHARE if poured else CHANGED_SHARE)))
    grown = changed > most or (not based and len(view) > LOG_ROWS)
    if grown and not any(isinstance(job, Base) for job in running):
        yield Base(changed)
    for free in spaces:
        run = free.small_run()
        if (rows := _live(run)) >= (POSTPONED_ROWS if poured else GRAPH_ROWS):
            yield free.seal(free.merged_from(run[0].lo, rows), run[-1].hi)
        elif not poured and _live(smaller := _smaller(run)) >= MIDDLE_ROWS:
            yield free.seal(smaller[0].lo, smaller[-1].hi)
    for free in spaces:
        for part in free.closed:
            if len(part.dead) > MOST_DEAD * len(part):
                yield free.seal(part.lo, part.hi)


def begun(view: View, job: Job) -> View:
    """The view while `job` is done: the memory that it seals takes no more vectors."""
    if not isinstance(job, Seal):
        return view
    space = view.spaces[job.identity.space]
    if space.memories[-1].lo >= job.hi or not len(space.memories[-1]):
        return view
    return replace(view, spaces={**view.spaces, job.identity.space: space.frozen(job.hi)})


class _Free:
    """A space, and of its parts those that no running job builds."""

    def __init__(self, view: View, space: VectorSpace, busy: Sequence[Seal]) -> None:
        self.space, self.busy, self._view = space, busy, view
        self.closed = [part for part in space.closed if self._free(part.lo)]
        self.memories = [memory for memory in space.memories if self._free(memory.lo)]

    def _free(self, version: int) -> bool:
        return not any(job.lo <= version < job.hi for job in self.busy)

    def seal(self, lo: int, hi: int, *, whole: bool = False) -> Seal:
        """Of the range, with the kind and in the lane that its rows call for."""
        identity, large = self.space.identity, self.space.rows_between(lo, hi) >= GRAPH_ROWS
        return Seal(identity, lo, hi, identity.kind if large else small_kind(identity.kind), "long" if large else "quick", whole)

    @property
    def whole(self) -> bool:
        """Whether one segment holds all, of the kind that it should be."""
        space = self.space
        alone = not any(len(memory) for memory in space.memories) and len(space.closed) <= 1 and not space.dead
        return alone and all(part.segment.kind == space.identity.kind or part.live < GRAPH_ROWS for part in space.closed)

    @property
    def end(self) -> int:
        """Beyond the last version of all parts."""
        last = self.space.memories[-1]
        return self._view.catalogue.next_version() if len(last) else last.lo

    def first(self) -> int:
        """The version to seal the memories from: theirs, or that of small segments right before them that still can grow."""
        lo = min(memory.lo for memory in self.memories if len(memory))
        rows = self.space.rows_between(lo, self.end)
        for part in self._before(lo):
            rows += part.live
            if not self._small(part) or rows > SMALL_ROWS:
                break
            lo = part.lo
        return lo

    def small_run(self) -> Sequence[Closed]:
        """The longest row of small segments side by side, in the order of their versions."""
        runs: list[list[Closed]] = [[]]
        for part in self.space.closed:
            if self._free(part.lo) and self._small(part):
                runs[-1].append(part)
            else:
                runs.append([])
        return max(runs, key=_live)

    def merged_from(self, lo: int, rows: int) -> int:
        """The version from which on to build when `rows` are built from `lo` on: that of the large segments before that are due too."""
        before = list(self._before(lo))
        while len(run := _run(before, rows)) >= FANOUT - 1:
            rows += _live(run)
            lo, before = run[-1].lo, before[len(run) :]
        return lo

    def _before(self, lo: int) -> Iterator[Closed]:
        """The segments right before version `lo` that are free, the nearest first."""
        for part in sorted((part for part in self.space.closed if part.lo < lo), key=lambda part: -part.lo):
            if not self._free(part.lo):
                return
            yield part

    def _small(self, part: Closed) -> bool:
        return len(part) < GRAPH_ROWS or part.segment.kind != self.space.identity.kind


def _live(parts: Sequence[Closed]) -> int:
    return sum(part.live for part in parts)


def _smaller(run: Sequence[Closed]) -> Sequence[Closed]:
    """The last of them that are less than half of what they are merged to."""
    large = [place for place, part in enumerate(run) if part.live > MIDDLE_ROWS // 2]
    return run[large[-1] + 1 if large else 0 :]


def _run(before: Sequence[Closed], rows: int) -> Sequence[Closed]:
    """The segments right before that are not much larger than `rows`, the nearest first."""
    small = np.array([part.live <= 2 * rows for part in before], np.bool_)
    return before[: len(before) if small.all() else int(small.argmin())]
