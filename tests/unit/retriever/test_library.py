import gc
import json
import threading
import weakref
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retriever import upkeep
from retriever.backends.protocol import Ask, Patch, Written
from retriever.builder import do
from retriever.errors import EmbeddingInvalid, FingerprintMismatch, StorageFailed, VectorsMissing
from retriever.filters import AnyOf, Where
from retriever.items import Item
from retriever.library import Library
from retriever.retrieval import Question, retrieve
from retriever.spaces import Upload
from retriever.upload import SpaceUpload
from retriever.vectorspace import VectorSpace

UNIT = np.array([0.6, 0.8])


def put(library: Library, names: Iterable[str], embeddings: Sequence[Any], fingerprint: str = "f", title: str = "t") -> Written:
    return library.put(fingerprint, [Item(name, title) for name in names], np.stack(embeddings))


def build(library: Library) -> None:
    """Everything that is due, in this process."""
    while (job := library.begin_job()) is not None:
        library.end_job(job, do(job.asked(library.catalogue.path, library.store.folder, 1)))


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    opened = Library(tmp_path / "c.sqlite3", lenders=2)
    put(opened, "abc", [UNIT, -UNIT, UNIT[::-1]])
    yield opened
    opened.close()


def upload(space: str, rows: list[dict[str, Any]]) -> Upload:
    reading = SpaceUpload(space)
    reading.feed("\n".join(json.dumps(row) for row in rows).encode())
    return reading.finish()


def test_the_first_write_fixes_the_fingerprint(library: Library) -> None:
    with pytest.raises(FingerprintMismatch, match=r"'g'.*'f'"):
        put(library, "d", [UNIT], "g")
    library.delete("abc")
    with pytest.raises(FingerprintMismatch, match=r"'g'.*'f'"):
        put(library, "d", [UNIT], "g")


@pytest.mark.parametrize(
    ("embedding", "reason"),
    [
        (UNIT * 1.01, "'e' has the length 1.01"),
        (np.zeros(2), "'e' has the length 0"),
        (np.array([np.nan, 1]), "'e' has the length nan"),
        (np.array([1e200, 1]), "'e' has the length inf"),
    ],
)
def test_a_bad_embedding_refuses_the_whole_batch(library: Library, embedding: Any, reason: str) -> None:
    with pytest.raises(EmbeddingInvalid, match=reason):
        put(library, "de", [UNIT, embedding])
    assert [item.id for item in library.after("", 10)] == ["a", "b", "c"]
    assert (len(library), library.generation) == (3, 1)


def test_an_embedding_of_another_dimension_is_refused(library: Library) -> None:
    with pytest.raises(EmbeddingInvalid, match="'d' has 1 numbers, the space has 2"):
        put(library, "d", [np.ones(1)])


def test_an_embedding_a_little_off_is_scaled_to_length_1(library: Library) -> None:
    put(library, "d", [UNIT * 1.0009])
    assert library.vectors("content", ["d"])[0] == pytest.approx(UNIT, abs=1e-7)


def test_a_space_counts_ids_that_are_not_in_the_catalogue_and_finds_them_when_they_come(library: Library) -> None:
    state = library.replace_space("collaborative", upload("collaborative", [{"id": "a", "neighbours": [["new", 2.0], ["b", 1.0]]}]))
    assert (state.rows, state.unknown) == (1, 1)
    put(library, ["new"], [UNIT])
    assert library.uploads()[0].unknown == 0
    asked = Question({"collaborative": 1.0}, liked=["a"], k=2)
    assert [one.item.id for one in retrieve(library.view, asked, 500).found] == ["new", "b"]
    library.delete(["new"])
    assert library.uploads()[0].unknown == 1
    assert "new" not in [one.item.id for one in retrieve(library.view, asked, 500).found]
    put(library, ["new"], [UNIT])
    assert [one.item.id for one in retrieve(library.view, asked, 500).found] == ["new", "b"]


def test_many_replacements_leave_few_dead_rows(library: Library) -> None:
    rng = np.random.default_rng(0)
    for _ in range(3):
        angles = rng.uniform(0, 7, 3_000)
        put(library, [f"i{n}" for n in range(3_000)], list(np.stack((np.cos(angles), np.sin(angles)), axis=1)))
    build(library)
    (space,) = library.spaces()
    assert (space.rows, space.unsealed, space.dead, space.segments) == (3_003, 0, 0, 1)


def test_the_same_put_again_changes_nothing_but_the_generation(library: Library) -> None:
    before = library.view.content
    written = put(library, "abc", [UNIT, -UNIT, UNIT[::-1]])
    assert (written.generation, written.created, written.replaced) == (2, 0, 3)
    assert library.view.content is before


def test_of_an_id_that_comes_twice_the_last_wins(library: Library) -> None:
    written = library.put("f", [Item("d", "first"), Item("e", "e"), Item("d", "last")], np.stack([UNIT, UNIT, -UNIT]))
    assert (written.created, written.duplicates) == (2, 1)
    found = library.item("d")
    assert found
    assert found.title == "last"
    assert library.vectors("content", ["d"])[0] == pytest.approx(-UNIT, abs=1e-6)


def test_a_patch_changes_attributes_and_leaves_the_vector(library: Library) -> None:
    library.put("f", [Item("d", "d", {"lang": "en", "year": 1990}, "long")], UNIT[np.newaxis])
    before = library.view.content
    library.patch([Patch("d", attributes={"lang": "de", "year": None}), Patch("d", title="D", drop_text=True)])
    assert library.item("d") == Item("d", "D", {"lang": "de"})
    assert library.view.content is before
    german = Ask(UNIT[np.newaxis].astype(np.float32), 5, filter=Where("lang", AnyOf(("de",))))
    assert library.search(german).ids == [["d"]]


def test_vectors_of_a_second_space_take_over_at_once_and_can_be_taken_back(library: Library) -> None:
    library.create_space("next", "g", 3, "hnsw")
    library.put_vectors("next", "g", ["a", "b"], np.eye(2, 3, dtype=np.float32))
    with pytest.raises(VectorsMissing, match="1 of 3 items have no vector in 'next'"):
        library.cut_over("next")
    library.put_vectors("next", "g", ["c"], np.eye(3, dtype=np.float32)[2:])
    library.cut_over("next")
    assert library.search(Ask(np.eye(3, dtype=np.float32)[2:], 1)).ids == [["c"]]
    assert [(space.name, space.content, space.previous) for space in library.spaces()] == [
        ("content-1", False, True),
        ("next", True, False),
    ]
    library.cut_over("content-1")
    assert library.search(Ask(UNIT[np.newaxis].astype(np.float32), 1)).ids == [["a"]]


def test_what_is_sealed_is_opened_again_and_the_rest_replayed(library: Library, tmp_path: Path) -> None:
    library.merge("content")
    build(library)
    put(library, "bd", [UNIT, UNIT[::-1]])
    library.delete(["c"])
    again = Library(tmp_path / "c.sqlite3", lenders=2)
    (space,) = again.spaces()
    assert (space.rows, space.segments, space.unsealed, space.dead) == (3, 1, 2, 2)
    exact = Ask(UNIT[np.newaxis].astype(np.float32), 3, exact=True)
    assert again.search(exact).ids == library.search(exact).ids == [["a", "b", "d"]]
    again.close()


def test_what_dies_while_it_is_sealed_is_dead_in_the_segment(library: Library) -> None:
    library.merge("content")
    job = library.begin_job()
    assert job
    built = do(job.asked(library.catalogue.path, library.store.folder, 1))
    library.delete(["a"])
    put(library, "b", [UNIT])
    library.end_job(job, built)
    assert library.search(Ask(UNIT[np.newaxis].astype(np.float32), 3)).ids == [["b", "c"]]


def test_a_job_that_failed_leaves_everything_and_is_begun_again(library: Library) -> None:
    library.merge("content")
    job = library.begin_job()
    assert job
    assert library.begin_job() is None
    library.end_job(job, None)
    put(library, "d", [UNIT])
    assert library.search(Ask(UNIT[np.newaxis].astype(np.float32), 2)).ids == [["a", "d"]]
    build(library)
    assert library.spaces()[0].segments == 1


def test_a_merge_that_was_asked_for_is_done_after_a_restart_too(library: Library, tmp_path: Path) -> None:
    library.merge("content")
    library.close()
    again = Library(tmp_path / "c.sqlite3", lenders=2)
    build(again)
    assert again.spaces()[0].segments == 1
    again.close()
    third = Library(tmp_path / "c.sqlite3", lenders=2)
    assert not third.merging
    third.close()


def test_a_damaged_segment_is_left_out_and_nothing_is_lost(library: Library, tmp_path: Path) -> None:
    library.merge("content")
    build(library)
    (vectors,) = (tmp_path / "segments").glob("*.vectors")
    damaged = bytearray(vectors.read_bytes())
    damaged[-1] ^= 1
    vectors.write_bytes(damaged)
    again = Library(tmp_path / "c.sqlite3", lenders=2)
    (space,) = again.spaces()
    assert (space.rows, space.segments, space.unsealed) == (3, 0, 3)
    assert again.search(Ask(UNIT[np.newaxis].astype(np.float32), 1)).ids == [["a"]]
    again.close()


def test_a_change_that_fails_in_memory_is_not_stored_and_the_next_works(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    def out_of_memory(*_: object) -> VectorSpace:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(VectorSpace, "put", out_of_memory)
        with pytest.raises(MemoryError):
            put(library, "d", [UNIT])
    assert library.item("d") is None
    put(library, "e", [UNIT])
    assert [item.id for item in library.after("", 10)] == ["a", "b", "c", "e"]
    assert len(library.view.rows) == 4


def test_items_and_the_centre_they_are_seen_from_are_stored_together_or_not_at_all(library: Library, tmp_path: Path) -> None:
    library.catalogue._writer.execute("CREATE TRIGGER refusing BEFORE INSERT ON centre BEGIN SELECT RAISE(ABORT, 'full'); END")
    with pytest.raises(StorageFailed, match=r"full.*nothing was changed"):
        put(library, "defg", [UNIT] * 4)
    with pytest.raises(StorageFailed, match=r"full.*nothing was changed"):
        library.delete(["a"])
    assert [item.id for item in library.after("", 10)] == ["a", "b", "c"]
    library.catalogue._writer.execute("DROP TRIGGER refusing")
    assert put(library, "defg", [UNIT] * 4).created == 4
    again = Library(tmp_path / "c.sqlite3", lenders=2)
    again.close()
    assert np.array_equal(again.view.centre.mean, library.view.centre.mean)
    assert again.view.centre.items == library.view.centre.items == 7


def test_readers_see_a_space_before_or_after_its_replacement_and_never_between(library: Library) -> None:
    """Each upload gives every item the same score; an answer that mixes two uploads has two scores."""
    put(library, [f"i{n}" for n in range(200)], [UNIT] * 200)
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
        put(library, ["i7", "i8"], [UNIT, UNIT], title=f"again {turn}")
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
        put(library, [f"{batch}-{n}" for n in range(50)], [UNIT] * 50)
    stop.set()
    reader.join()
    assert halves == []


def test_vectors_that_were_sealed_are_let_go_of_in_memory(library: Library) -> None:
    assert library.view.content
    held = weakref.ref(library.view.content.memories[-1].segment)
    library.merge("content")
    build(library)
    gc.collect()
    assert held() is None


def test_a_base_of_attributes_that_is_lost_is_built_again_without_a_change(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "LOG_ROWS", 2)
    build(library)
    (base,) = (tmp_path / "segments").glob("attributes-*")
    base.unlink()
    again = Library(tmp_path / "c.sqlite3", lenders=2)
    build(again)
    again.close()
    assert list((tmp_path / "segments").glob("attributes-*"))
