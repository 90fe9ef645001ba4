"""Scores items by what was liked together with the liked ones. Knows nothing of text, except through loans.

Each liked item is a voice. A warm one speaks for itself; a cold one through its lenders, with equal shares. With neighbour lists the
score of x is the sum over the voices of W[voice, x] (item-to-item filtering, as in EASE: Steck 2019, equation 1). With vectors it is the
cosine of x with the mean of the voices. A cold item's score is its lenders' mean score.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from retriever.allowed import Allowed
from retriever.centred import Centred
from retriever.items import Bools, Doubles, Rows
from retriever.loans import Loans
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
    def over(cls, upload: Upload, lenders: int, centred: Centred[Allowed], ids: Sequence[tuple[int, str]], live: Bools) -> Self | None:
        """Of all rows, of which the living ones' `ids` are given; None for an empty space. Each cold item gets `lenders` lenders."""
        if not isinstance(upload.content, Neighbours | Vectors):
            return None
        said = says_something(upload)
        number_of = {name: number for number, name in enumerate(upload.ids) if said[number]}
        empty = cls(upload, upload.content, number_of, np.empty(0, np.int64), Loans.none(lenders))
        return empty.changed(centred, ids, live)

    def changed(self, centred: Centred[Allowed], changed: Sequence[tuple[int, str]], live: Bools) -> Self:
        """With the rows and ids of what came or has another vector now, and `live` `(count,)` as it is now."""
        number = np.full(len(live), COLD, np.int64)
        number[: len(self.number)] = self.number
        for row, name in changed:
            number[row] = self.number_of.get(name, COLD)
        warm = live & (number != COLD)
        new = np.fromiter((row for row, _ in changed), np.int64, len(changed))
        loans = self.loans.changed(centred, warm, live & ~warm, new)
        return replace(self, number=number, loans=loans)

    def without_loans(self) -> Self:
        """For a new centre: everybody's lenders are to be searched anew."""
        return replace(self, loans=Loans.none(self.loans.lenders.shape[1]))

    def voice(self, row: int) -> Rows:
        """The warm rows that speak for `row`: itself, or its lenders; none when there is nobody."""
        return np.array([row]) if self.number[row] != COLD else self.loans.lenders_of(row)

    def scores(self, voices: Sequence[Rows]) -> Doubles:
        """Raw score of every row `(count,)`; each of `voices` holds warm rows with equal shares."""
        by_number = scores_by_number(self.content, [self.number[voice] for voice in voices])
        raw = np.where(self.number == COLD, 0.0, by_number[self.number])
        raw[self.loans.cold] = self.loans.means(raw)
        return raw

    def contributions(self, voices: Sequence[Rows], rows: Rows) -> Doubles:
        """What each of `voices` adds to the score of each of `rows`, `(voices, rows)`; for a cold row through its lenders."""
        asked = [self.voice(int(row)) for row in rows]
        table = contributions_by_number(self.content, [self.number[voice] for voice in voices], self.number[np.concatenate(asked)])
        given, start = np.zeros((len(voices), len(rows))), 0
        for column, group in enumerate(asked):
            if len(group):
                given[:, column] = table[:, start : start + len(group)].mean(axis=1)
            start += len(group)
        return given


def scores_by_number(content: Neighbours | Vectors, voices: Sequence[Rows]) -> Doubles:
    """By number `(ids,)`; each of `voices` holds numbers with equal shares."""
    if isinstance(content, Neighbours):
        total = np.zeros(len(content.starts) - 1)
        for voice in voices:
            for number in voice:
                mine = content.of(number)
                total[content.others[mine]] += content.weights[mine] / len(voice)
        return total
    mean = _spoken(content, voices).mean(axis=0)
    length = float(np.sqrt(np.square(mean).sum()))
    unit = mean / length if length > 0 else mean
    cosines: Doubles = np.einsum("nd,d->n", content.vectors, unit.astype(np.float32)).astype(np.float64)
    return cosines


def contributions_by_number(content: Neighbours | Vectors, voices: Sequence[Rows], numbers: Rows) -> Doubles:
    """Of each voice to each of `numbers`, `(voices, numbers)`."""
    if isinstance(content, Vectors):
        products: Doubles = np.einsum("ld,nd->ln", _spoken(content, voices), content.vectors[numbers])
        return products
    given, line = np.zeros((len(voices), len(numbers))), np.zeros(len(content.starts) - 1)
    for place, voice in enumerate(voices):
        for number in voice:
            mine = content.of(number)
            line[content.others[mine]] = content.weights[mine]
            given[place] += line[numbers] / len(voice)
            line[content.others[mine]] = 0.0
    return given


def _spoken(content: Vectors, voices: Sequence[Rows]) -> Doubles:
    """The mean vector of each voice `(voices, dim)`."""
    return np.stack([content.vectors[voice].mean(axis=0, dtype=np.float64) for voice in voices])
