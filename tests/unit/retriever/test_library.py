import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retriever.errors import EmbeddingInvalid, FingerprintMismatch, StorageFailed
from retriever.items import Item
from retriever.library import Library
from retriever.retrieval import Question, retrieve
from retriever.spaces import Upload
from retriever.upload import SpaceUpload
from retriever.view import DEAD_ROWS, View

UNIT = np.array([0.6, 0.8])


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    opened = Library(tmp_path / "c.sqlite3", lenders=2)
    opened.upsert("f", [Item(name, name) for name in "abc"], [UNIT, -UNIT, UNIT[::-1]])
    yield opened
    opened.close()


def upload(space: str, rows: list[dict[str, Any]]) -> Upload:
    reading = SpaceUpload(space)
    reading.feed("\n".join(json.dumps(row) for row in rows).encode())
    return reading.finish()


def test_the_first_write_fixes_the_fingerprint(library: Library) -> None:
    with pytest.raises(FingerprintMismatch, match=r"'g'.*'f'"):
        library.upsert("g", [Item("d", "d")], [UNIT])
    for name in "abc":
        library.delete(name)
    with pytest.raises(FingerprintMismatch, match=r"'g'.*'f'"):
        library.upsert("g", [Item("d", "d")], [UNIT])


@pytest.mark.parametrize(
    ("embedding", "reason"),
    [
        (np.array([1.0]), "'e' has 1 numbers, the content space has 2"),
        (UNIT * 1.01, "'e' has the length 1.01"),
        (np.zeros(2), "'e' has the length 0"),
        (np.array([np.nan, 1]), "'e' has the length nan"),
        (np.array([1e200, 1]), "'e' has the length inf"),
    ],
)
def test_a_bad_embedding_refuses_the_whole_batch(library: Library, embedding: Any, reason: str) -> None:
    with pytest.raises(EmbeddingInvalid, match=reason):
        library.upsert("f", [Item("d", "d"), Item("e", "e")], [UNIT, embedding])
    assert [item.id for item in library.catalogue.after("", 10)] == ["a", "b", "c"]
    assert len(library.view) == 3


def test_an_embedding_a_little_off_is_scaled_to_length_1(library: Library) -> None:
    library.upsert("f", [Item("d", "d")], [UNIT * 1.0009])
    assert library.view.shelf.segment.take(np.array([3]))[0] == pytest.approx(UNIT, abs=1e-7)


def test_texts_stay_on_disk(library: Library) -> None:
    library.upsert("f", [Item("d", "d", {}, "long")], [UNIT])
    assert library.view.item(3).text is None
    assert library.catalogue.item("d") == Item("d", "d", {}, "long")


def test_a_space_counts_ids_that_are_not_in_the_catalogue_and_finds_them_when_they_come(library: Library) -> None:
    state = library.replace_space("collaborative", upload("collaborative", [{"id": "a", "neighbours": [["new", 2.0], ["b", 1.0]]}]))
    assert (state.rows, state.unknown) == (1, 1)
    library.upsert("f", [Item("new", "new")], [UNIT])
    assert library.spaces()[1].unknown == 0
    asked = Question({"collaborative": 1.0}, liked=["a"], k=2)
    assert [one.item.id for one in retrieve(library.view, asked, 500).found] == ["new", "b"]
    library.delete("new")
    assert library.spaces()[1].unknown == 1
    assert "new" not in [one.item.id for one in retrieve(library.view, asked, 500).found]
    library.upsert("f", [Item("new", "new")], [UNIT])
    assert [one.item.id for one in retrieve(library.view, asked, 500).found] == ["new", "b"]


def test_many_replacements_leave_few_dead_rows(library: Library) -> None:
    for _ in range(3):
        library.upsert("f", [Item("a", "a")] * DEAD_ROWS, [UNIT] * DEAD_ROWS)
    assert len(library.view.live) <= 2 * DEAD_ROWS + 3
    assert library.view.moments.count == len(library.view) == 3


def test_a_change_that_fails_in_memory_is_not_stored_and_the_next_begins_from_disk(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_memory(*_: object) -> View:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(View, "with_items", out_of_memory)
        with pytest.raises(MemoryError):
            library.upsert("f", [Item("d", "d")], [UNIT])
    assert library.catalogue.item("d") is None
    library.upsert("f", [Item("e", "e")], [UNIT])
    assert set(library.view.row_of) == set("abce")


def test_items_and_the_centre_they_are_seen_from_are_stored_together_or_not_at_all(library: Library, tmp_path: Path) -> None:
    library.catalogue._writer.execute("CREATE TRIGGER refusing BEFORE INSERT ON centre BEGIN SELECT RAISE(ABORT, 'full'); END")
    new, embeddings = [Item(name, name) for name in "defg"], [UNIT] * 4
    with pytest.raises(StorageFailed, match=r"full.*nothing was changed"):
        library.upsert("f", new, embeddings)
    with pytest.raises(StorageFailed, match=r"full.*nothing was changed"):
        library.delete("a")
    assert [item.id for item in library.catalogue.after("", 10)] == sorted(library.view.row_of) == ["a", "b", "c"]
    library.catalogue._writer.execute("DROP TRIGGER refusing")
    assert library.upsert("f", new, embeddings) == (4, 0)
    again = Library(tmp_path / "c.sqlite3", lenders=2)
    again.close()
    assert np.array_equal(again.view.centred.centre.mean, library.view.centred.centre.mean)
    assert again.view.centred.centre.items == library.view.centred.centre.items == 7


def test_readers_see_a_space_before_or_after_its_replacement_and_never_between(library: Library) -> None:
    """Each upload gives every item the same score; an answer that mixes two uploads has two scores."""
    library.upsert("f", [Item(f"i{n}", f"i{n}") for n in range(200)], [UNIT] * 200)
    uploads = [
        upload("collaborative", [{"id": "a", "neighbours": [[f"i{n}", float(weight)] for n in range(200)]}]) for weight in range(1, 6)
    ]
    library.replace_space("collaborative", uploads[0])
    asked, stop, seen = Question({"collaborative": 1.0}, liked=["a"], k=200), threading.Event(), set()

    def read() -> None:
        while not stop.is_set():
            scores = {one.said["collaborative"].score for one in retrieve(library.view, asked, 500).found if one.item.id.startswith("i")}
            seen.add(frozenset(scores))

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for turn in range(40):
        library.replace_space("collaborative", uploads[turn % 5])
        library.upsert("f", [Item("i7", "again"), Item("i8", "again")], [UNIT, UNIT])
    stop.set()
    for reader in readers:
        reader.join()
    assert seen
    assert all(len(scores) == 1 for scores in seen)


def test_readers_see_all_of_a_batch_or_nothing_of_it(library: Library) -> None:
    stop, halves = threading.Event(), []

    def read() -> None:
        while not stop.is_set():
            found = retrieve(library.view, Question({"similar": 1.0}, liked=["a"], k=1_000), 1).searched
            if (found - 2) % 50:
                halves.append(found)

    reader = threading.Thread(target=read)
    reader.start()
    for batch in range(40):
        library.upsert("f", [Item(f"{batch}-{n}", "x") for n in range(50)], [UNIT] * 50)
    stop.set()
    reader.join()
    assert halves == []
