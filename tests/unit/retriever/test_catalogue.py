import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from retriever.catalogue import VERSION, Catalogue, Identity
from retriever.errors import StorageFailed
from retriever.items import Item
from retriever.library import Library
from retriever.spaces import Neighbours, Scores, Upload, Vectors

BOOKS = [
    Item("1", "The Hunger Games", {"authors": ("Suzanne Collins",)}),
    Item("2", "Games People Play", {"authors": ("Eric Berne",), "year": 1964, "read": True}, "a description"),
    Item("3", "It", {"authors": "Stephen King"}),
    Item("4", "Italian Folktales"),
    Item("5", "Élan vital", {"authors": ("José Núñez", "Games Master")}),
]
IDENTITY = Identity("f", 2)


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    opened = Catalogue(tmp_path / "c.sqlite3")
    opened.store(IDENTITY, BOOKS, np.eye(5, 2, dtype=np.float32))
    yield opened
    opened.close()


def found(catalogue: Catalogue, typed: str, offset: int = 0, limit: int = 10) -> list[str]:
    return [item.id for item in catalogue.find(typed, offset, limit)]


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[sqlite3.Connection]:
    """All that are opened; Python warns of one that nobody closes from 3.13 on only."""
    opened: list[sqlite3.Connection] = []
    connect = sqlite3.connect

    def recorded(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        opened.append(connect(*args, **kwargs))
        return opened[-1]

    monkeypatch.setattr(sqlite3, "connect", recorded)
    return opened


def assert_closed(connections: list[sqlite3.Connection]) -> None:
    assert connections
    for connection in connections:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            connection.execute("SELECT 1")


def test_an_item_comes_back_as_it_was_stored(catalogue: Catalogue) -> None:
    assert [catalogue.item(book.id) for book in BOOKS] == BOOKS
    assert catalogue.item("6") is None
    assert catalogue.after("2", 2) == BOOKS[2:4]


def test_a_replaced_item_is_found_by_its_new_words_only(catalogue: Catalogue) -> None:
    catalogue.store(IDENTITY, [Item("1", "Gregor the Overlander")], np.eye(1, 2, dtype=np.float32))
    assert (found(catalogue, "hunger"), found(catalogue, "overl")) == ([], ["1"])
    catalogue.delete("1")
    assert found(catalogue, "overl") == []


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("hun", ["1"]),
        ("GAMES", ["1", "2", "5"]),
        ("games h", ["1"]),
        ("suz gam", ["1"]),
        ("it", ["3", "4"]),
        ("elan", ["5"]),
        ("núñez", ["5"]),
        ("ungry", []),
        ("king -stephen", ["3"]),
        ("hunger-ga", ["1"]),
        ("", []),
        ("!?", []),
    ],
)
def test_every_typed_word_begins_a_word_of_title_or_authors(catalogue: Catalogue, typed: str, expected: list[str]) -> None:
    assert found(catalogue, typed) == expected


def test_the_more_popular_item_comes_first_among_equals(catalogue: Catalogue) -> None:
    assert found(catalogue, "gam") == ["1", "2", "5"]
    catalogue.replace_space("popular", Upload(("1", "2", "5"), 3, Scores(np.array([1.0, 9.0, 99.0]))))
    assert found(catalogue, "gam") == ["2", "1", "5"]
    assert [found(catalogue, "gam", offset, 1) for offset in range(4)] == [["2"], ["1"], ["5"], []]
    catalogue.replace_space("popular", Upload((), 0, None))
    assert found(catalogue, "gam") == ["1", "2", "5"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(typed=st.text(max_size=30) | st.text(alphabet='"*^:(){}+-. ANDORNEAR\x00title', max_size=20))
@example('" OR title:*')
@example("NEAR(games hunger, 5)")
@example("hunger\x00games")
@example("^title : {a b}")
@example("½ ١ ǅ a\u0301 \u200d 𝄞 \ue000")
def test_no_typed_text_breaks_the_search(catalogue: Catalogue, typed: str) -> None:
    assert set(found(catalogue, typed)) <= {book.id for book in BOOKS}


def test_a_batch_that_fails_half_way_leaves_nothing(catalogue: Catalogue) -> None:
    with pytest.raises(ValueError, match="zip"):
        catalogue.store(IDENTITY, [Item("8", "New"), Item("9", "New")], np.eye(1, 2, dtype=np.float32))
    assert catalogue.item("8") is None
    assert found(catalogue, "new") == []


def test_a_disk_that_refuses_is_a_storage_failure(catalogue: Catalogue) -> None:
    catalogue._writer.execute(f"PRAGMA max_page_count = {catalogue._writer.execute('PRAGMA page_count').fetchone()[0]}")
    with pytest.raises(StorageFailed, match=r"full.*nothing was changed"):
        catalogue.store(IDENTITY, [Item("8", "New", {}, "long " * 50_000)], np.eye(1, 2, dtype=np.float32))
    assert catalogue.item("8") is None


@pytest.mark.parametrize("layout", [1, 99])
def test_a_catalogue_of_another_layout_is_refused_and_closed(tmp_path: Path, layout: int, connections: list[sqlite3.Connection]) -> None:
    with sqlite3.connect(tmp_path / "c.sqlite3") as other:
        other.execute(f"PRAGMA user_version = {layout}")
    other.close()
    with pytest.raises(StorageFailed, match=f"has the layout {layout}, this retriever reads {VERSION}; start the version that wrote it"):
        Catalogue(tmp_path / "c.sqlite3")
    assert_closed(connections)


def test_a_file_that_is_no_catalogue_is_refused_and_closed(tmp_path: Path, connections: list[sqlite3.Connection]) -> None:
    (tmp_path / "c.sqlite3").write_bytes(b"not a database, " * 100)
    with pytest.raises(StorageFailed, match="could not be opened"):
        Catalogue(tmp_path / "c.sqlite3")
    assert_closed(connections)


def test_a_catalogue_that_can_not_be_loaded_is_closed(tmp_path: Path, connections: list[sqlite3.Connection]) -> None:
    Catalogue(tmp_path / "c.sqlite3").close()
    with sqlite3.connect(tmp_path / "c.sqlite3") as broken:
        broken.execute("DROP TABLE spaces")
    broken.close()
    with pytest.raises(StorageFailed, match="could not be read"):
        Library(tmp_path / "c.sqlite3", lenders=2)
    assert_closed(connections)


@pytest.mark.parametrize(
    "upload",
    [
        Upload(("a", "é"), 1, Neighbours(np.array([0, 1, 1]), np.array([1]), np.array([-0.5], np.float32))),
        Upload(("a", "é"), 2, Vectors(np.eye(2, dtype=np.float32))),
        Upload(("a", "é"), 2, Scores(np.array([0.1, -7]))),
        Upload((), 0, None),
    ],
    ids=lambda upload: upload.kind,
)
def test_a_space_comes_back_as_it_was_uploaded(catalogue: Catalogue, upload: Upload) -> None:
    catalogue.replace_space("popular" if upload.kind == "scores" else "collaborative", upload)
    (kept,) = catalogue.spaces().values()
    assert (kept.ids, kept.rows, kept.kind) == (upload.ids, upload.rows, upload.kind)
    for name, array in (vars(upload.content) if upload.content else {}).items():
        assert np.array_equal(getattr(kept.content, name), array)
        assert getattr(kept.content, name).dtype == array.dtype


def test_an_acknowledged_write_is_synced_to_the_disk(catalogue: Catalogue) -> None:
    full, wal = 2, "wal"
    assert catalogue._writer.execute("PRAGMA synchronous").fetchone()[0] == full
    assert catalogue._writer.execute("PRAGMA journal_mode").fetchone()[0] == wal
