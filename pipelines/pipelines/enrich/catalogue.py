"""Where the items come from and go to: a gateway's catalogue, or NDJSON files. Knows nothing of LLMs.

The gateway replaces an item whole, so each page of items is read again right before it is written: what else changed while the LLM wrote
is kept. Only what changes between those two requests could be lost; do not change items in the same minute as this job's last step.
"""

import gzip
import json
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Protocol

from tqdm import tqdm

from pipelines.api import Api
from pipelines.embed.parts import written
from pipelines.enrich.faults import InputUnusable
from pipelines.enrich.fields import Item

PAGE = 64
"""Items between a reading and its writing."""
Change = Callable[[Item], Item]


class Stored:
    """How many items were changed, how many were so already, and why others were not stored."""

    def __init__(self) -> None:
        self.changed, self.same = 0, 0
        self.refused: list[str] = []


class Catalogue(Protocol):
    """Items that can be read, and changed all at once."""

    def items(self) -> Iterator[Item]:
        """All, in one order."""
        ...

    def count(self) -> int | None:
        """How many, where that is known ahead."""
        ...

    def change(self, change: Change) -> Stored:
        """Makes `change(item)` of each item."""
        ...


class Served:
    """A gateway's catalogue."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def items(self) -> Iterator[Item]:
        return self._api.items()

    def count(self) -> int | None:
        count: int | None = self._api.status()["items"]
        return count

    def change(self, change: Change) -> Stored:
        stored = Stored()
        items = self._api.items(PAGE)
        with tqdm(total=self.count(), desc="store", unit=" items", mininterval=0.5, dynamic_ncols=True) as bar:
            while page := list(islice(items, PAGE)):
                pairs = [(item, change(item)) for item in page]
                rows = [after for before, after in pairs if after != before]
                stored.same += len(page) - len(rows)
                for row, told in zip(rows, self._api.import_rows("/v1/items", rows) if rows else [], strict=True):
                    if told["status"] == "stored":
                        stored.changed += 1
                    else:
                        stored.refused.append(f"{row['id']}: {told['reason']}")
                bar.update(len(page))
        return stored


class File:
    """A file of items as they are imported (also .gz); the changed ones go to another, in the same order, put there at once."""

    def __init__(self, path: Path, out: Path) -> None:
        self._path, self._out = path, out

    def items(self) -> Iterator[Item]:
        """Raises `InputUnusable` with the first line that is no item."""
        number = 0
        try:
            with gzip.open(self._path, "rb") if self._path.suffix == ".gz" else self._path.open("rb") as lines:
                for number, line in enumerate(lines, 1):
                    if line.strip():
                        yield self._item(number, json.loads(line))
        except (ValueError, EOFError, OSError) as error:  # no UTF-8, no JSON, or a damaged archive
            raise InputUnusable(f"{self._path}, line {number}: {error}.") from error

    def count(self) -> int | None:
        return None

    def change(self, change: Change) -> Stored:
        stored = Stored()

        def write(file: BinaryIO) -> None:
            for item in self.items():
                after = change(item)
                stored.changed += after != item
                stored.same += after == item
                file.write(json.dumps(after, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass") + b"\n")

        self._out.parent.mkdir(parents=True, exist_ok=True)
        written(self._out, write)
        return stored

    def _item(self, number: int, value: object) -> Item:
        whole = isinstance(value, dict) and isinstance(value.get("id"), str) and isinstance(value.get("title"), str)
        if not isinstance(value, dict) or not whole or not isinstance(value.get("attributes", {}), dict):
            raise InputUnusable(f"{self._path}, line {number}: no item with `id` and `title`; see the gateway's `PUT /v1/items/{{id}}`.")
        return value
