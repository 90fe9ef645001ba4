"""A writer, a catalogue in memory behind the API that the jobs use, and the job run with options as on the command line."""

import argparse
import asyncio
import copy
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.writer import FakeWriter

from pipelines.api import Api
from pipelines.enrich import command


class Shelf(Api):
    """Replaces items whole, as the gateway does. `refused` ids are refused; `meanwhile` runs before each page is read."""

    def __init__(self, items: Iterable[Mapping[str, Any]]) -> None:
        self.url = "http://shelf"
        self.rows = {str(item["id"]): dict(item) for item in items}
        self.refused: set[str] = set()
        self.imported: list[str] = []
        self.meanwhile: Callable[[], None] = lambda: None

    def status(self) -> dict[str, Any]:
        return {"items": len(self.rows)}

    def items(self, page: int = 500) -> Iterator[dict[str, Any]]:
        names = sorted(self.rows)
        for at in range(0, len(names), page):
            self.meanwhile()
            yield from [copy.deepcopy(self.rows[name]) for name in names[at : at + page] if name in self.rows]

    def import_rows(self, path: str, rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        assert path == "/v1/items"
        answers: list[dict[str, Any]] = []
        for number, row in enumerate(rows, 1):
            if row["id"] in self.refused:
                answers.append({"row": number, "status": "refused", "id": row["id"], "reason": "it has too many attributes"})
            else:
                self.rows[row["id"]] = dict(row)
                self.imported.append(row["id"])
                answers.append({"row": number, "status": "stored", "id": row["id"]})
        return answers

    def attributes(self, item_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.rows[item_id]["attributes"]
        return found


@pytest.fixture
async def writer() -> AsyncIterator[FakeWriter]:
    async with FakeWriter() as running:
        yield running


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """Ten books, which the job finds at any gateway."""
    books = Shelf(
        {
            "id": f"b{number}",
            "title": f"Book {number}",
            "text": f"Told in {number} chapters.",
            "attributes": {"authors": ["Ann Author"], "genres": ["novel"], "year": 1900 + number},
        }
        for number in range(10)
    )

    @contextmanager
    def opened(url: str) -> Iterator[Shelf]:
        yield books

    monkeypatch.setattr(command, "Api", opened)
    return books


Job = Callable[..., Awaitable[None]]


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """Runs the job with these options, its journal in one folder per test."""

    async def run(*options: str) -> None:
        parser = argparse.ArgumentParser()
        command.add_options(parser)
        chosen = parser.parse_args([*options, "--journal", str(tmp_path / "journal.sqlite3")])
        await asyncio.to_thread(command.run, chosen)

    return run
