"""Rebuilds the sample's two files from the goodbooks tables: `python -m pipelines.sample.build SOURCE_FOLDER`.

Knows the source tables' columns; descriptions and images are left out on purpose, only facts are kept. Genres are ordered from the
rarest to the commonest, so that whoever shows or embeds only some shows what is particular to the book.
"""

import gzip
import json
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from pipelines import sample

HERE = Path(__file__).parent


def _words(text: str | None, separator: str) -> list[str]:
    return [word.strip() for word in (text or "").split(separator) if word.strip()]


def item(row: dict[str, Any], carriers: Counter[str]) -> dict[str, Any]:
    """One row of `items.parquet` as an item; attributes without a value are left out. `carriers` counts the books of each genre."""
    attributes = {
        "authors": _words(row["authors"], ","),
        "year": row["year"],
        "language": row["lang"],
        "genres": sorted(_words(row["genres"], ","), key=lambda genre: (carriers[genre], genre)),
        "ratings_count": row["ratings_count"],
        "average_rating": row["average_rating"],
        "goodreads_book_id": str(row["goodreads_book_id"]),
        "isbn10": row["isbn10"],
    }
    return {"id": str(row["item"]), "title": row["title"], "attributes": {k: v for k, v in attributes.items() if v not in (None, [])}}


def _write(name: str, lines: list[str]) -> None:
    with (HERE / name).open("wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as packed:
        packed.write("\n".join(lines).encode() + b"\n")


def build(source: Path) -> None:
    """Writes both files; byte for byte the same for the same tables."""
    rows = pq.read_table(source / "items.parquet").to_pylist()
    carriers = Counter(genre for row in rows for genre in _words(row["genres"], ","))
    _write(sample.ITEMS, [json.dumps(item(row, carriers), ensure_ascii=False, separators=(",", ":")) for row in rows])
    shelves: dict[int, list[int]] = defaultdict(list)
    for pair in pq.read_table(source / "train.parquet").to_pylist():
        shelves[pair["user"]].append(pair["item"])
    _write(sample.EVENTS, [" ".join(map(str, [user, *sorted(books)])) for user, books in sorted(shelves.items())])


if __name__ == "__main__":
    build(Path(sys.argv[1]))
