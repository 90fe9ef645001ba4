"""What a reader sees: the catalogue and its spaces at one moment. Knows nothing of storage, threads or queries.

Rows are append-only and shared by all views: a row, once written, never changes; replacing an item gives it a new row and kills the
old one. A view adds how many rows there are, which of them live, and everything derived from just those. So the writer prepares the
next view while readers use this one, and what they see changes in one assignment.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from retriever.centred import NOWHERE, Centre, Centred
from retriever.collaborative import Collaborative
from retriever.filters import Columns
from retriever.items import Bools, Floats, Item, Rows
from retriever.popular import Popular
from retriever.segments.flat import FlatSegment
from retriever.spaces import COLLABORATIVE, Upload
from retriever.spread import Moments

DEAD_ROWS = 1_024
"""Dead rows are cleared away when they are more than this and more than the live ones."""


class Shelf:
    """All rows there are: items, attributes and vectors by row. One writer appends behind what the views know of."""

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.columns = Columns()
        self.segment = FlatSegment()

    def append(self, at: int, items: Sequence[Item], embeddings: Floats) -> None:
        """Writes rows from `at` on."""
        self.segment.append(at, embeddings)
        for row, item in enumerate(items, at):
            self.columns.append(row, item.attributes)
        self.items[at:] = items


@dataclass(frozen=True)
class View:
    """Immutable; every method that changes something returns the next view."""

    shelf: Shelf
    live: Bools
    row_of: Mapping[str, int]
    moments: Moments
    lenders: int
    centred: Centred
    collaborative: Collaborative | None = None
    popular: Popular | None = None

    @classmethod
    def empty(cls, lenders: int, centre: Centre = NOWHERE) -> Self:
        """Without items; `lenders` is how many text-nearest items a cold item borrows from, `centre` where items are seen from."""
        return cls(Shelf(), np.zeros(0, np.bool_), {}, Moments.none(), lenders, Centred(centre, FlatSegment()))

    def __len__(self) -> int:
        """Items, which are the live rows."""
        return len(self.row_of)

    def item(self, row: int) -> Item:
        return self.shelf.items[row]

    def with_items(self, items: Sequence[Item], embeddings: Floats) -> "View":
        """With `items` added or replaced, in order; `embeddings` `(items, dim)` are of unit length."""
        if len(self.live) - len(self) > max(DEAD_ROWS, len(self)):
            return self.compacted().with_items(items, embeddings)
        first = len(self.live)
        self.shelf.append(first, items, embeddings)
        live, row_of, killed = np.append(self.live, np.ones(len(items), np.bool_)), dict(self.row_of), []
        for row, item in enumerate(items, first):
            if (old := row_of.get(item.id)) is not None:
                killed.append(old)
            row_of[item.id] = row
        live[killed] = False
        return self._changed(live, row_of, embeddings, np.array(killed, np.int64), [item.id for item in items])

    def without(self, name: str) -> "View":
        """Without the item of this id, which must be there."""
        row_of = dict(self.row_of)
        row, live = row_of.pop(name), self.live.copy()
        live[row] = False
        return self._changed(live, row_of, np.empty((0, self.moments.total.size), np.float32), np.array([row]), [])

    def with_space(self, space: str, upload: Upload) -> "View":
        """With the whole of `space` replaced."""
        ids = [item.id for item in self.shelf.items[: len(self.live)]]
        if space == COLLABORATIVE:
            collaborative = Collaborative.over(upload, self.lenders, self.centred.segment, ids, self.live)
            loans = collaborative.loans if collaborative else None
            return replace(self, collaborative=collaborative, popular=self.popular and self.popular.changed([], self.live, loans))
        loans = self.collaborative.loans if self.collaborative else None
        return replace(self, popular=Popular.over(upload, ids, self.live, loans))

    def _changed(self, live: Bools, row_of: Mapping[str, int], added: Floats, killed: Rows, new_ids: Sequence[str]) -> "View":
        moments = self.moments.changed(added, self.shelf.segment.take(killed))
        centred, collaborative = self.centred, self.collaborative
        if due := centred.centre.due(len(row_of)):
            embeddings = self.shelf.segment.take(np.arange(len(live)))
            centred = Centred.around(Centre(moments.total / moments.count, moments.count), embeddings)
        elif len(added):
            centred.append(len(live) - len(added), added)
        if collaborative:
            collaborative = (collaborative.without_loans() if due else collaborative).changed(centred.segment, new_ids, live)
        popular = self.popular and self.popular.changed(new_ids, live, collaborative.loans if collaborative else None)
        return View(self.shelf, live, row_of, moments, self.lenders, centred, collaborative, popular)

    def compacted(self) -> "View":
        """The same items without the dead rows, on a shelf of its own; the order of the rows stays."""
        rows, to, shelf = np.flatnonzero(self.live), np.cumsum(self.live) - 1, Shelf()
        embeddings = self.shelf.segment.take(rows)
        shelf.append(0, [self.shelf.items[row] for row in rows], embeddings)
        return View(
            shelf,
            np.ones(len(rows), np.bool_),
            {name: int(to[row]) for name, row in self.row_of.items()},
            Moments.of(embeddings),
            self.lenders,
            Centred.around(self.centred.centre, embeddings),
            self.collaborative and self.collaborative.moved(self.live, to),
            self.popular and self.popular.moved(self.live),
        )
