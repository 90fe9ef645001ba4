"""Imports report every refused row, and an incomplete one can not pass for done."""

from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from pipelines import importer
from pipelines.api import Api


class Refusing(Api):
    """An API that refuses every row whose id is odd."""

    def __init__(self) -> None:
        self.sent: list[int] = []

    def import_rows(self, path: str, rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        ids = [row["id"] for row in rows]
        self.sent.append(len(ids))
        return [
            {"row": row, "status": "refused", "reason": f"{name} is odd"} if name % 2 else {"row": row, "status": "stored"}
            for row, name in enumerate(ids, 1)
        ]


def run(count: int) -> tuple[Refusing, importer.Report]:
    api = Refusing()
    return api, importer.run(api, "/v1/items", ({"id": number} for number in range(count)), total=count, label="rows", chunk=4)


def test_rows_are_sent_in_chunks_and_refusals_counted_from_the_first_row() -> None:
    api, report = run(10)
    assert api.sent == [4, 4, 2]
    assert report.stored == 5
    assert report.refused[:3] == ["row 2: 1 is odd", "row 4: 3 is odd", "row 6: 5 is odd"]


def test_an_import_with_refused_rows_is_not_complete() -> None:
    with pytest.raises(importer.ImportIncomplete, match="1 rows were refused, 1 stored; the first: row 2: 1 is odd"):
        run(2)[1].complete()
    assert run(1)[1].complete() == 1
