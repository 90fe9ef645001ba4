"""The frozen part of the attributes: built once, saved in one file, never changed. Knows nothing of the changes on top of it."""

import json
from collections.abc import Iterable, Mapping
from mmap import MADV_DONTNEED, PROT_READ, mmap
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from retriever.attributes.column import Column, Gathered
from retriever.attributes.evaluation import Evaluation
from retriever.attributes.postings import packed, unpacked
from retriever.bitmaps import of_numbers
from retriever.filters import Condition
from retriever.items import AttributeValue

MAGIC = b"attributes 1\n\0\0\0"
ALIGNED = 64


class Frozen(Evaluation[BitMap]):
    """The attributes of the items `everything`, indexed by attribute."""

    def __init__(self, everything: BitMap, columns: Mapping[str, Column]) -> None:
        self.everything, self._columns = everything, columns

    @classmethod
    def of(cls, rows: Iterable[tuple[int, Mapping[str, AttributeValue]]]) -> Self:
        """From item numbers, 0 to 2**32 - 1 and in any order, each with its attributes.

        Raises ValueError when a number stands twice.
        """
        numbers, gathered = np.zeros(1_024, np.uint32), dict[str, Gathered]()
        count = 0
        for number, attributes in rows:
            if count == len(numbers):
                numbers = np.concatenate((numbers, np.zeros_like(numbers)))
            numbers[count] = number
            count += 1
            for name, value in attributes.items():
                if (one := gathered.get(name)) is None:
                    one = gathered[name] = Gathered()
                one.add(number, value)
        everything = of_numbers(numbers[:count])
        if len(everything) != count:
            raise ValueError(f"{count - len(everything)} of {count} item numbers stand twice; give every item once.")
        everything.run_optimize()
        columns = {}
        for name in list(gathered):
            columns[name] = gathered.pop(name).column()  # one by one, so that what was gathered is gone before the next is made
        return cls(everything, columns)

    def lookup(self, name: str, condition: Condition) -> BitMap:
        """The items that meet the condition."""
        column = self._columns.get(name)
        return column.lookup(condition) if column else BitMap()

    def among(self, numbers: BitMap) -> BitMap:
        """Those of `numbers` that are here."""
        return numbers & self.everything

    def save(self, path: Path) -> None:
        """Writes one file; it is whole when this returns, but not yet forced to the disk."""
        parts = {f"all/{name}": part for name, part in packed("sets", [self.everything]).items()}
        for at, column in enumerate(self._columns.values()):
            parts |= {f"{at}/{name}": part for name, part in column.parts().items()}
        directory, offset = {}, 0
        for name, part in parts.items():
            directory[name] = (part.dtype.str, len(part), offset)
            offset += -(-part.nbytes // ALIGNED) * ALIGNED
        head = json.dumps({"names": list(self._columns), "parts": directory}).encode()
        with path.open("wb") as file:
            file.write(MAGIC + len(head).to_bytes(8, "little") + head)
            file.write(bytes(-file.tell() % ALIGNED))
            for part in parts.values():
                file.write(np.ascontiguousarray(part).data)
                file.write(bytes(-part.nbytes % ALIGNED))

    @classmethod
    def open(cls, path: Path) -> Self:
        """Maps what `save` wrote, whose hash the caller has checked.

        Raises ValueError for another file, OSError when it can not be read.
        """
        with path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise ValueError(f"{path} does not hold attributes in a form that is known here; build it again from the catalogue.")
            head = json.loads(file.read(int.from_bytes(file.read(8), "little")))
            start = file.tell() + -file.tell() % ALIGNED
            mapped = mmap(file.fileno(), 0, prot=PROT_READ)

        def part(kind: str, length: int, offset: int) -> NDArray[np.generic]:
            return np.frombuffer(mapped, kind, length, start + offset)

        by_column: dict[str, dict[str, NDArray[np.generic]]] = {}
        for name, entry in head["parts"].items():
            column, _, rest = name.partition("/")
            by_column.setdefault(column, {})[rest] = part(*entry)
        columns = {name: Column.open(by_column[str(at)]) for at, name in enumerate(head["names"])}
        everything = unpacked("sets", by_column["all"])[0]
        mapped.madvise(MADV_DONTNEED)  # what was only read to make bitmaps of it need not stay in memory
        return cls(everything, columns)
