import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from retriever.catalogue import Catalogue
from retriever.errors import StorageFailed
from retriever.items import Item
from retriever.library import Library
from retriever.schema import VERSION
from retriever.spaces import Neighbours, Scores, Upload, Vectors

BOOKS = [
    Item("1", "The Hunger Games", {"authors": ("Suzanne Collins",)}),
    Item("2", "Games People Play", {"authors": ("Eric Berne",), "year": 1964, "read": True}, "a description"),
    Item("3", "It", {"authors": "Stephen King"}),
    Item("4", "Italian Folktales"),
    Item("5", "Élan vital", {"authors": ("José Núñez", "Games Master")}),
]


def put(catalogue: Catalogue, items: list[Item]) -> None:
    with catalogue.writing() as transaction:
        transaction.put_items(items)


def upload(catalogue: Catalogue, name: str, content: Upload) -> None:
    with catalogue.writing() as transaction:
        transaction.replace_space(name, content)


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    opened = Catalogue(tmp_path / "c.sqlite3")
    put(opened, BOOKS)
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
    put(catalogue, [Item("1", "Gregor the Overlander")])
    assert (found(catalogue, "hunger"), found(catalogue, "overl")) == ([], ["1"])
    with catalogue.writing() as transaction:
        transaction.delete(transaction.numbers(["1"]), ["1"])
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
    upload(catalogue, "popular", Upload(("1", "2", "5"), 3, Scores(np.array([1.0, 9.0, 99.0]))))
    assert found(catalogue, "gam") == ["2", "1", "5"]
    assert [found(catalogue, "gam", offset, 1) for offset in range(4)] == [["2"], ["1"], ["5"], []]
    upload(catalogue, "popular", Upload((), 0, None))
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


def test_a_write_that_fails_half_way_leaves_nothing_and_no_generation(catalogue: Catalogue) -> None:
    with pytest.raises(RuntimeError, match="stop"), catalogue.writing() as transaction:
        transaction.put_items([Item("8", "New")])
        raise RuntimeError("stop")
    assert (catalogue.item("8"), found(catalogue, "new"), catalogue.meta().generation) == (None, [], 1)


def test_a_number_is_kept_while_the_item_lives_and_never_given_again(catalogue: Catalogue) -> None:
    put(catalogue, [Item("1", "again"), Item("6", "new")])
    assert catalogue.numbers(["1", "6", "none"]).tolist() == [1, 6, -1]
    with catalogue.writing() as transaction:
        transaction.delete(transaction.numbers(["6"]), ["6"])
    put(catalogue, [Item("6", "back")])
    assert catalogue.numbers(["6"]).tolist() == [7]
    ((numbers, ids),) = catalogue.ids(1_000)
    assert (numbers[-1], ids[-1]) == (7, "6")


def test_a_vector_gets_a_new_version_only_when_it_changes(catalogue: Catalogue) -> None:
    with catalogue.writing() as transaction:
        space = transaction.create_space("s", "f", 2, "hnsw")
        transaction.put_vectors(space, np.array([1, 2]), np.eye(2, dtype=np.float32))
    with catalogue.writing() as transaction:
        kept = transaction.put_vectors(space, np.array([1, 2, 3]), np.array([[1, 0], [1, 0], [0, 1]], np.float32))
    assert kept.versions.tolist() == [1, 3, 4]
    assert kept.written.tolist() == [False, True, True]
    assert [array.tolist() for array in kept.replaced] == [[2], [2]]
    assert [array.tolist() for array in catalogue.versions(space)] == [[1, 3, 4], [1, 2, 3]]
    assert catalogue.vectors([3, 1], 2).tolist() == [[1.0, 0.0], [1.0, 0.0]]


def test_a_disk_that_refuses_is_a_storage_failure(catalogue: Catalogue) -> None:
    catalogue._writer.execute(f"PRAGMA max_page_count = {catalogue._writer.execute('PRAGMA page_count').fetchone()[0]}")
    with pytest.raises(StorageFailed, match=r"full.*nothing was changed"):
        put(catalogue, [Item("8", "New", {}, "long " * 50_000)])
    assert catalogue.item("8") is None


@pytest.mark.parametrize("layout", [1, 99])
def test_a_catalogue_of_another_layout_is_refused_and_closed(tmp_path: Path, layout: int, connections: list[sqlite3.Connection]) -> None:
    with sqlite3.connect(tmp_path / "c.sqlite3") as other:
        other.execute(f"PRAGMA user_version = {layout}")
    other.close()
    with pytest.raises(
        StorageFailed, match=f"has the layout {layout}, this retriever reads {VERSION} and turns 2 into it; start the version"
    ):
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
    with catalogue.writing() as transaction:
        transaction.replace_space("popular" if upload.kind == "scores" else "collaborative", upload)
    (kept,) = catalogue.spaces().values()
    assert (kept.ids, kept.rows, kept.kind) == (upload.ids, upload.rows, upload.kind)
    for name, array in (vars(upload.content) if upload.content else {}).items():
        assert np.array_equal(getattr(kept.content, name), array)
        assert getattr(kept.content, name).dtype == array.dtype


def test_an_acknowledged_write_is_synced_to_the_disk(catalogue: Catalogue) -> None:
    full, wal = 2, "wal"
    assert catalogue._writer.execute("PRAGMA synchronous").fetchone()[0] == full
    assert catalogue._writer.execute("PRAGMA journal_mode").fetchone()[0] == wal


def test_a_catalogue_of_layout_2_becomes_one_of_today(tmp_path: Path) -> None:
    old = sqlite3.connect(tmp_path / "c.sqlite3", isolation_level=None)
    for statement in LAYOUT_2:
        old.execute(statement)
    half = np.array([0.6, 0.8], "<f4").tobytes()
    old.execute("INSERT INTO identity VALUES (1, 'f', 2)")
    old.execute("INSERT INTO centre VALUES (1, ?, 2)", (np.array([0.1, 0.2]).tobytes(),))
    old.executemany(
        "INSERT INTO items VALUES (?, ?, ?, ?, ?, ?)", [(3, "a", "Alpha", '{"n": 1}', "text", half), (7, "b", "Beta", "{}", None, half)]
    )
    old.executemany("INSERT INTO words (rowid, title, authors) VALUES (?, ?, '')", [(3, "Alpha"), (7, "Beta")])
    old.close()
    library = Library(tmp_path / "c.sqlite3", lenders=2)
    assert library.item("a") == Item("a", "Alpha", {"n": 1}, "text")
    assert found(library.catalogue, "bet") == ["b"]
    (space,) = library.spaces()
    assert (space.fingerprint, space.dimension, space.rows, space.content) == ("f", 2, 2, True)
    assert library.view.centre.mean.tolist() == [0.1, 0.2]
    library.put("f", [Item("c", "Gamma")], np.array([[1.0, 0.0]]))
    assert library.catalogue.numbers(["c"]).tolist() == [8]
    library.close()


LAYOUT_2 = (
    "CREATE TABLE identity (one INTEGER PRIMARY KEY CHECK (one = 1), fingerprint TEXT NOT NULL, dimension INTEGER NOT NULL)",
    "CREATE TABLE centre (one INTEGER PRIMARY KEY CHECK (one = 1), mean BLOB NOT NULL, items INTEGER NOT NULL)",
    """CREATE TABLE items (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, title TEXT NOT NULL, attributes TEXT NOT NULL, text TEXT, embedding BLOB NOT NULL
)""",
    "CREATE VIRTUAL TABLE words USING fts5(title, authors, prefix = '1 2 3', tokenize = 'unicode61 remove_diacritics 2')",
    "CREATE TABLE spaces (name TEXT PRIMARY KEY, kind TEXT NOT NULL, arrays BLOB NOT NULL)",
    "CREATE TABLE popularity (id TEXT PRIMARY KEY, score REAL NOT NULL) WITHOUT ROWID",
    "PRAGMA user_version = 2",
)
