"""Scores items by what was liked together with the liked ones. Knows nothing of text, except through loans.

With neighbour lists the score of x is the sum of W[l, x] over the liked items l (item-to-item filtering, as in EASE: Steck 2019,
equation 1). With vectors it is the cosine of x with the mean of the liked vectors. A cold item's score is its lenders' mean score.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from retriever.items import Bools, Doubles, Rows
from retriever.loans import Loans
from retriever.segments.flat import FlatSegment
from retriever.spaces import Neighbours, Upload, Vectors

COLD = -1
"""In place of the number of a row of which the space says nothing."""


def says_something(upload: Upload) -> Bools:
    """Of which ids `(ids,)` the space says something: they have a neighbour, are one, or have a vector."""
    if not isinstance(upload.content, Neighbours):
        return np.ones(len(upload.ids), np.bool_)
    said: Bools = np.diff(upload.content.starts) > 0
    said[upload.content.others] = True
    return said


@dataclass(frozen=True)
class Collaborative:
    """The uploaded space over the rows of a view: `number` `(count,)` is the place of a row's id in `upload.ids`, or COLD."""

    upload: Upload
    content: Neighbours | Vectors
    number_of: Mapping[str, int]
    number: Rows
    loans: Loans

    @classmethod
    def over(cls, upload: Upload, lenders: int, segment: FlatSegment, ids: Sequence[str], live: Bools) -> Self | None:
        """Of all rows, whose `ids` are given; None for an empty space. Each cold item gets `lenders` lenders."""
        if not isinstance(upload.content, Neighbours | Vectors):
            return None
        said = says_something(upload)
        number_of = {name: number for number, name in enumerate(upload.ids) if said[number]}
        empty = cls(upload, upload.content, number_of, np.empty(0, np.int64), Loans.none(lenders))
        return empty.changed(segment, ids, live)

    def changed(self, segment: FlatSegment, new_ids: Sequence[str], live: Bools) -> Self:
        """With `new_ids` in the rows after the present ones, and `live` `(count,)` as it is now."""
        new = np.arange(len(self.number), len(live))
        arrived = np.fromiter((self.number_of.get(name, COLD) for name in new_ids), np.int64, len(new))
        number = np.concatenate((self.number, arrived))
        warm = live & (number != COLD)
        loans = self.loans.changed(segment, warm, live & ~warm, new)
        return type(self)(self.upload, self.content, self.number_of, number, loans)

    def moved(self, live: Bools, to: Rows) -> Self:
        """After compaction: only live rows are left, and row r has become row `to[r]`."""
        return type(self)(self.upload, self.content, self.number_of, self.number[live], self.loans.moved(to))

    def heard(self, rows: Rows) -> Rows:
        """Those of the liked `rows` of which the space says something itself."""
        heard: Rows = rows[self.number[rows] != COLD]
        return heard

    def scores(self, liked: Rows) -> Doubles:
        """Raw score of every row `(count,)` for the `liked` rows, which must have been heard."""
        by_number = _scores(self.content, self.number[liked])
        raw = np.where(self.number == COLD, 0.0, by_number[self.number])
        raw[self.loans.cold] = self.loans.means(raw)
        return raw

    def contributions(self, liked: Rows, rows: Rows) -> Doubles:
        """What each of the `liked` rows adds to the score of each of `rows`, `(liked, rows)`; for a cold row through its lenders."""
        lenders = [self.loans.lenders_of(int(row)) if self.number[row] == COLD else np.array([row]) for row in rows]
        asked = np.concatenate(lenders) if lenders else np.empty(0, np.int64)
        table = _contributions(self.content, self.number[liked], self.number[asked])
        given, start = np.zeros((len(liked), len(rows))), 0
        for column, group in enumerate(lenders):
            if len(group):
                given[:, column] = table[:, start : start + len(group)].mean(axis=1)
            start += len(group)
        return given


def _scores(content: Neighbours | Vectors, liked: Rows) -> Doubles:
    """By number `(ids,)`, for the liked numbers."""
    if isinstance(content, Neighbours):
        total = np.zeros(len(content.starts) - 1)
        for number in liked:
            mine = content.of(number)
            total[content.others[mine]] += content.weights[mine]
        return total
    mean = content.vectors[liked].mean(axis=0, dtype=np.float64)
    length = float(np.sqrt(np.square(mean).sum()))
    unit = mean / length if length > 0 else mean
    cosines: Doubles = np.einsum("nd,d->n", content.vectors, unit.astype(np.float32)).astype(np.float64)
    return cosines


def _contributions(content: Neighbours | Vectors, liked: Rows, numbers: Rows) -> Doubles:
    """Of each liked number to each of `numbers`, `(liked, numbers)`."""
    if isinstance(content, Vectors):
        products: Doubles = np.einsum("ld,nd->ln", content.vectors[liked], content.vectors[numbers]).astype(np.float64)
        return products
    given, line = np.zeros((len(liked), len(numbers))), np.zeros(len(content.starts) - 1)
    for place, number in enumerate(liked):
        mine = content.of(number)
        line[content.others[mine]] = content.weights[mine]
        given[place] = line[numbers]
        line[content.others[mine]] = 0.0
    return given
