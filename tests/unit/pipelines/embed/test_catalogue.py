"""A catalogue is read the same from every format, and what can not be embedded is found before anything is sent."""

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from pipelines.embed.catalogue import MOST_CHARACTERS, Catalogue, Passage
from pipelines.embed.faults import InputUnusable

ROWS: list[dict[str, Any]] = [
    {"id": "a", "title": "Dune", "authors": ["Frank Herbert", "Another"]},
    {"id": "b", "title": "  Öland ", "authors": None},
    {"id": "c", "title": "Emma", "authors": []},
]
PASSAGES = [Passage("a", "Dune. Frank Herbert, Another"), Passage("b", "Öland"), Passage("c", "Emma")]


def lines(rows: list[Any]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def catalogue(path: Path, content: bytes, *texts: str) -> Catalogue:
    path.write_bytes(content)
    return Catalogue(path, "id", texts or ("title", "authors"))


def parquet(path: Path, rows: list[dict[str, Any]], *texts: str) -> Catalogue:
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return Catalogue(path, "id", texts or ("title", "authors"))


def test_ndjson_gzip_and_parquet_give_the_same_passages(tmp_path: Path) -> None:
    plain = catalogue(tmp_path / "a.ndjson", b"\n" + lines(ROWS) + b"\n")
    packed = catalogue(tmp_path / "a.ndjson.gz", gzip.compress(lines(ROWS)))
    assert list(plain.passages()) == list(packed.passages()) == list(parquet(tmp_path / "a.parquet", ROWS).passages()) == PASSAGES


def test_a_survey_counts_and_hashes_the_file(tmp_path: Path) -> None:
    read = catalogue(tmp_path / "a.ndjson", lines([*ROWS, {"id": "long", "title": "x" * (MOST_CHARACTERS + 5)}]))
    survey = read.survey()
    assert (survey.usable, survey.cut, survey.faults) == (4, 1, [])
    assert survey.sha256 == hashlib.sha256((tmp_path / "a.ndjson").read_bytes()).hexdigest()
    assert len(list(read.passages())[-1].text) == MOST_CHARACTERS


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"title": "no id"}, "no id; name another field"),
        ({"id": True, "title": "x"}, "no id"),
        ({"id": "", "title": "x"}, "no id"),
        ({"id": 7, "title": " "}, "'7' has no text in title"),
        ({"id": "n", "title": None}, "has no text"),
        ({"id": "n", "title": "a\0b"}, "NUL or a lone surrogate"),
        ({"id": "n", "title": "\ud800"}, "NUL or a lone surrogate"),
    ],
)
def test_a_row_that_can_not_be_embedded_is_told_by_its_number_and_may_be_left_out(tmp_path: Path, row: Any, reason: str) -> None:
    read = catalogue(tmp_path / "a.ndjson", lines([ROWS[0], row, ROWS[2]]), "title")
    survey = read.survey()
    with pytest.raises(InputUnusable, match=rf"1 rows can not be embedded \(row 2: .*{reason}"):
        survey.check(skip_unusable=False)
    survey.check(skip_unusable=True)
    assert [passage.id for passage in read.passages()] == ["a", "c"]


def test_a_file_of_unusable_rows_only_is_refused_also_when_they_may_be_left_out(tmp_path: Path) -> None:
    survey = catalogue(tmp_path / "a.ndjson", lines([{"x": 1}])).survey()
    with pytest.raises(InputUnusable, match="1 rows"):
        survey.check(skip_unusable=True)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.ndjson", b'{"id": "a"}\n{"id": \n', "line 2: "),
        ("a.ndjson", b'{"id": "a"}\n[1]\n', "line 2: no JSON object"),
        ("a.ndjson", b'{"id": "\xff"}\n', "line 1: .*utf-8"),
        ("a.ndjson", b"", "holds no rows"),
        ("a.ndjson.gz", gzip.compress(lines(ROWS))[:-4], "end-of-stream"),
        ("a.ndjson.gz", lines(ROWS), "gzip"),
        ("a.parquet", b"PAR1 and nothing", "can not be read as Parquet"),
    ],
)
def test_a_damaged_file_is_refused_with_its_name_and_place(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    with pytest.raises(InputUnusable, match=rf"{name}.*{told}"):
        catalogue(tmp_path / name, content).survey()


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputUnusable, match=r"can not be read .*No such file"):
        Catalogue(tmp_path / "none.parquet", "id", ("title",)).survey()


def test_a_parquet_file_without_the_column_says_which_it_has(tmp_path: Path) -> None:
    with pytest.raises(InputUnusable, match="no column 'text'; it has id, title, authors"):
        parquet(tmp_path / "a.parquet", ROWS, "text").survey()
