"""Imports items and events through the public API with a progress bar. Knows nothing of where the rows come from."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from tqdm import tqdm

from pipelines.api import Api

SHOWN_REFUSALS = 10


class ImportIncomplete(Exception):
    """Rows that had to be stored were refused; the message says how many, and the first reason."""


@dataclass
class Report:
    """What became of an import: how many rows were stored, and why each other one was not."""

    stored: int = 0
    refused: list[str] = field(default_factory=list)

    def complete(self) -> int:
        """How many rows were stored; raises `ImportIncomplete` when any was refused."""
        if self.refused:
            raise ImportIncomplete(f"{len(self.refused)} rows were refused, {self.stored} stored; the first: {self.refused[0]}")
        return self.stored


def run(api: Api, path: str, rows: Iterable[Mapping[str, Any]], *, total: int | None, label: str, chunk: int) -> Report:
    """Sends `rows` to `path` in bodies of `chunk` rows; the bar shows rate, rows refused and, with a `total`, the remaining time."""
    report, source, offset = Report(), iter(rows), 0
    with tqdm(total=total, desc=label, unit=" rows", unit_scale=True, mininterval=0.5, dynamic_ncols=True) as bar:
        bar.set_postfix(refused=0)
        while part := list(islice(source, chunk)):
            for result in api.import_rows(path, part):
                if result["status"] == "stored":
                    report.stored += 1
                else:
                    report.refused.append(f"row {offset + result['row']}: {result['reason']}")
            offset += len(part)
            bar.set_postfix(refused=len(report.refused), refresh=False)
            bar.update(len(part))
    for line in report.refused[:SHOWN_REFUSALS]:
        tqdm.write(f"  refused {line}")
    if (more := len(report.refused) - SHOWN_REFUSALS) > 0:
        tqdm.write(f"  and {more} more")
    return report
