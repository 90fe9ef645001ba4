"""Reads the passages of a catalogue from NDJSON (also gzipped) or Parquet. Knows no encoder.

Every row is looked at before the first is sent, so that a job of hours does not fail at its last row.
"""

import gzip
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from pipelines.embed.faults import InputUnusable

MOST_CHARACTERS = 20_000
"""The encoder takes no more; its models read far fewer tokens than that, so what is cut is never read."""
SHOWN_FAULTS = 5
READ_ROWS = 4_096
UNSENDABLE = re.compile("[\x00\ud800-\udfff]")


class Passage(NamedTuple):
    """A row: its id and its text."""

    id: str
    text: str


class Fault(NamedTuple):
    """A row that can not be embedded, counted from 1, and why."""

    row: int
    reason: str


@dataclass(frozen=True)
class Catalogue:
    """A file and which of its fields are the id and the text; several text fields are joined, absent ones left out."""

    path: Path
    id_field: str
    text_fields: tuple[str, ...]

    def rows(self) -> Iterator[Passage | Fault]:
        """Every row in the file's order. Raises `InputUnusable` when the file can not be read."""
        for number, values in enumerate(self._values(), 1):
            yield self._row(number, values)

    def passages(self) -> Iterator[Passage]:
        """The rows that can be embedded."""
        return (row for row in self.rows() if isinstance(row, Passage))

    def survey(self) -> "Survey":
        """Reads the whole file once. Raises `InputUnusable` when it can not be read or holds no row that can be embedded."""
        found = Survey(_sha256(self.path))
        for row in self.rows():
            if isinstance(row, Fault):
                found.faults.append(row)
            else:
                found.usable += 1
                found.cut += len(row.text) == MOST_CHARACTERS
        if not found.usable and not found.faults:
            raise InputUnusable(f"{self.path} holds no rows.")
        return found

    def _values(self) -> Iterator[Mapping[str, Any]]:
        return _parquet(self) if self.path.suffix == ".parquet" else _lines(self.path)

    def _row(self, number: int, values: Mapping[str, Any]) -> Passage | Fault:
        name = values.get(self.id_field)
        if not isinstance(name, str | int) or isinstance(name, bool) or not str(name):
            return Fault(number, f"the field {self.id_field!r} is {name!r}, no id; name another field with --id")
        text = ". ".join(part for part in map(_text, map(values.get, self.text_fields)) if part)
        if not text:
            return Fault(number, f"{str(name)!r} has no text in {', '.join(self.text_fields)}; name another field with --text")
        if UNSENDABLE.search(text) or UNSENDABLE.search(str(name)):
            return Fault(number, f"{str(name)!r} contains a NUL or a lone surrogate")
        return Passage(str(name), text[:MOST_CHARACTERS])


@dataclass
class Survey:
    """What a file holds: its SHA-256, how many rows can be embedded, how many texts are cut, and the rows that can not."""

    sha256: str
    usable: int = 0
    cut: int = 0
    faults: list[Fault] = field(default_factory=list)

    def check(self, *, skip_unusable: bool) -> None:
        """Raises `InputUnusable` when a row can not be embedded and should, or none can."""
        if not self.faults or (skip_unusable and self.usable):
            return
        shown = "; ".join(f"row {row}: {reason}" for row, reason in self.faults[:SHOWN_FAULTS])
        raise InputUnusable(f"{len(self.faults)} rows can not be embedded ({shown}); correct them or leave them out with --skip-unusable.")


def _text(value: Any) -> str:
    """Words of a field: a string, or the strings of a list."""
    if isinstance(value, list):
        return ", ".join(filter(None, map(_text, value)))
    return value.strip() if isinstance(value, str) else ""


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputUnusable(f"{path} can not be read ({error.strerror}); name an NDJSON or Parquet file.") from error


def _lines(path: Path) -> Iterator[Mapping[str, Any]]:
    number = 0
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    if not isinstance(row := json.loads(line), dict):
                        raise InputUnusable(f"{path}, line {number}: no JSON object.")
                    yield row
    except (ValueError, EOFError, OSError) as error:  # no UTF-8, no JSON, or a damaged archive
        raise InputUnusable(f"{path}, line {number}: {error}.") from error


def _parquet(source: Catalogue) -> Iterator[Mapping[str, Any]]:
    try:
        import pyarrow  # only here: the default install has no Parquet reader
        import pyarrow.parquet as parquet
    except ImportError:
        raise InputUnusable(f"{source.path} is Parquet and pyarrow is not installed: pip install 'warmstart-pipelines[parquet]'.") from None
    try:
        file = parquet.ParquetFile(source.path)
        wanted = [source.id_field, *source.text_fields]
        if absent := [name for name in wanted if name not in file.schema_arrow.names]:
            raise InputUnusable(f"{source.path} has no column {', '.join(map(repr, absent))}; it has {', '.join(file.schema_arrow.names)}.")
        for batch in file.iter_batches(READ_ROWS, columns=wanted):
            yield from batch.to_pylist()
    except (pyarrow.ArrowException, UnicodeDecodeError) as error:
        raise InputUnusable(f"{source.path} can not be read as Parquet: {error}.") from error
