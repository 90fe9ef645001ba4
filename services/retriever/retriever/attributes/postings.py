"""Which items have which of many values, by the code of the value. Knows nothing of what the values are."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from retriever.bitmaps import Numbers, of_ascending, of_numbers

HEAVY = 512
"""A value that more items have gets a bitmap of its own; of the others, the item numbers stand in one array."""
Parts = Mapping[str, NDArray[np.generic]]
"""What is saved: arrays by name."""


@dataclass(frozen=True)
class Postings:
    """The items with code c are `rows[starts[c] : starts[c + 1]]`, ascending, or `heavy[c]` where there are more than `HEAVY`."""

    starts: NDArray[np.uint32]
    rows: Numbers
    heavy: Mapping[int, BitMap]

    @classmethod
    def of(cls, codes: NDArray[np.uint32], rows: Numbers, values: int, *, complete: bool) -> Self:
        """From pairs of code, below `values`, and item number; `complete` leaves the rows of heavy codes in `rows` too."""
        order = np.lexsort((rows, codes))
        codes, rows = codes[order], rows[order]
        counts = np.bincount(codes, minlength=values)
        starts = np.concatenate(([0], np.cumsum(counts)))
        heavy = {int(code): of_ascending(rows[starts[code] : starts[code + 1]]) for code in np.flatnonzero(counts > HEAVY)}
        if not complete and heavy:
            rows = rows[(counts <= HEAVY)[codes]]
            starts = np.concatenate(([0], np.cumsum(np.where(counts > HEAVY, 0, counts))))
        return cls(starts.astype(np.uint32), rows, heavy)

    @cached_property
    def _heavy_codes(self) -> NDArray[np.int64]:
        return np.fromiter(self.heavy, np.int64)

    def union(self, codes: NDArray[np.int64]) -> BitMap:
        """The items that have one of the different `codes`; must not be changed."""
        mine = self._heavy_codes[np.isin(self._heavy_codes, codes)] if len(codes) > 1 else codes
        found = [self.heavy[code] for code in mine.tolist() if code in self.heavy]
        light = codes[~np.isin(codes, mine)] if len(codes) > 1 else codes if not found else codes[:0]
        if len(rows := self._gathered(light)):
            found.append(of_ascending(rows) if len(light) == 1 else of_numbers(rows))
        return found[0] if len(found) == 1 else BitMap.union(*found) if found else BitMap()

    def _gathered(self, codes: NDArray[np.int64]) -> Numbers:
        starts, ends = self.starts[codes].astype(np.int64), self.starts[codes + 1].astype(np.int64)
        if len(codes) == 1:
            return self.rows[starts[0] : ends[0]]
        lengths = ends - starts
        skipped = np.repeat(starts - (np.cumsum(lengths) - lengths), lengths)
        return self.rows[skipped + np.arange(len(skipped))]

    def parts(self) -> dict[str, NDArray[np.generic]]:
        """What to save."""
        return {"starts": self.starts, "rows": self.rows, "heavy_codes": self._heavy_codes, **packed("heavy", list(self.heavy.values()))}

    @classmethod
    def open(cls, parts: Parts) -> Self:
        """From what was saved."""
        heavy = dict(zip(parts["heavy_codes"].tolist(), unpacked("heavy", parts), strict=True))
        return cls(parts["starts"], parts["rows"], heavy)  # type: ignore[arg-type]


def packed(name: str, bitmaps: list[BitMap]) -> dict[str, NDArray[np.generic]]:
    """Several bitmaps as two arrays: their serialised bytes, and where each ends."""
    written = [bitmap.serialize() for bitmap in bitmaps]
    ends = np.cumsum([len(one) for one in written], dtype=np.int64)
    return {f"{name}_bytes": np.frombuffer(b"".join(written), np.uint8), f"{name}_ends": ends}


def unpacked(name: str, parts: Parts) -> list[BitMap]:
    """The bitmaps that `packed` wrote."""
    ends, written = parts[f"{name}_ends"].tolist(), parts[f"{name}_bytes"]
    return [BitMap.deserialize(written[start:end].tobytes()) for start, end in zip([0, *ends], ends, strict=False)]
