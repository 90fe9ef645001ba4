"""A replica that heard a writer's changes is what the writer is, whatever was done between two changes."""

import random
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from retriever.backends.protocol import Ask, Patch
from retriever.changelog import Change, changed, from_bytes, generation_of, to_bytes, watermark_of
from retriever.errors import Damaged, FingerprintMismatch, Foreign, ReadOnly, SpaceInUse
from retriever.items import Floats, Item
from retriever.library import Library
from retriever.manifest import CATALOGUE
from retriever.position import Position
from retriever.spaces import Scores, Upload, Vectors

DIMENSION = 6
START = Position("a line", 0, 0)


def unit_vectors(count: int, seed: int) -> Floats:
    vectors = np.random.default_rng(seed).normal(size=(count, DIMENSION)).astype(np.float32)
    units: Floats = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return units


def put(library: Library, *ids: str, seed: int = 0, fingerprint: str = "f") -> None:
    items = [Item(name, f"{name} {seed}", {"seed": seed, "tags": (name,)}, "text") for name in ids]
    library.put(fingerprint, items, unit_vectors(len(ids), seed))


def told_of(library: Library) -> list[tuple[object, ...]]:
    """What a replica's spaces have in common with the writer's; how they lie in segments is each one's own."""
    spaces = library.spaces()
    return [(s.name, s.fingerprint, s.dimension, s.kind, s.rows, s.missing, s.content, s.previous) for s in spaces]


class Pair:
    """A writer and a replica, and where the replica is."""

    def __init__(self, folder: Path) -> None:
        (folder / "writer").mkdir()
        (folder / "replica").mkdir()
        self.writer = Library(folder / "writer" / CATALOGUE, 10)
        self.replica = Library(folder / "replica" / CATALOGUE, 10)
        self.replica.follows = "somewhere"
        self.at = START

    def change(self, most: int = 1_000) -> Change | None:
        with self.writer.catalogue.reading() as reader:
            return changed(reader, self.at, most)

    def told(self) -> tuple[bytes, Position]:
        """What the writer would publish now, and where a reader is then."""
        change = self.change()
        assert change is not None
        return to_bytes(change, self.at), Position(self.at.line, change.generation, change.watermark)

    def hear(self) -> None:
        content, after = self.told()
        self.replica.apply(from_bytes("change", content, self.at))
        self.at = after

    def check(self) -> None:
        """Compares all that can be asked for."""
        writer, replica = self.writer, self.replica
        assert replica.generation == writer.generation
        items = writer.after("", 1_000)
        assert replica.after("", 1_000) == items
        assert len(replica) == len(writer) == len(items)
        told = [
            [(s.name, s.fingerprint, s.kind, s.rows, s.missing, s.content, s.previous) for s in one.spaces()] for one in (writer, replica)
        ]
        assert told[0] == told[1]
        ids = [item.id for item in items]
        for space in writer.spaces():
            np.testing.assert_array_equal(replica.vectors(space.name, ids), writer.vectors(space.name, ids))
            queries = unit_vectors(3, 99)
            found = [one.search(Ask(queries, 5, space.name, exact=True)) for one in (writer, replica)]
            for mine, theirs in zip(found[0].scores, found[1].scores, strict=True):
                np.testing.assert_allclose(theirs, mine, rtol=1e-5)
            assert found[0].generation == found[1].generation
        assert replica.uploads() == writer.uploads()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    pair = Pair(tmp_path)
    put(pair.writer, "a", "b", "c")
    pair.hear()
    with closing(pair.writer), closing(pair.replica):
        yield pair


def test_new_replaced_patched_and_deleted_items_arrive(pair: Pair) -> None:
    pair.check()
    put(pair.writer, "b", "d", seed=1)
    pair.writer.patch([Patch("a", title="another", attributes={"seed": None, "year": 1990}, drop_text=True)])
    pair.writer.delete(["c"])
    pair.hear()
    pair.check()
    assert pair.replica.item("a") == Item("a", "another", {"tags": ("a",), "year": 1990}, None)


def test_an_item_that_was_deleted_and_came_again_is_the_new_one(pair: Pair) -> None:
    pair.writer.create_space("second", "g", DIMENSION, "hnsw")
    pair.writer.put_vectors("second", "g", ["a", "b"], unit_vectors(2, 5))
    pair.hear()
    pair.writer.delete(["a"])
    put(pair.writer, "a", seed=2)
    pair.hear()
    pair.check()
    assert np.isnan(pair.replica.vectors("second", ["a"])).all()


def test_spaces_cut_overs_and_roll_backs_arrive(pair: Pair) -> None:
    pair.writer.create_space("second", "g", DIMENSION, "hnsw")
    pair.writer.put_vectors("second", "g", ["a", "b", "c"], unit_vectors(3, 5))
    pair.writer.cut_over("second")
    pair.hear()
    pair.check()
    pair.writer.cut_over("content-1")
    pair.hear()
    pair.check()
    pair.writer.drop_space("second")
    pair.writer.create_space("second", "h", DIMENSION, "hnsw")
    pair.hear()
    pair.check()


def test_a_space_that_was_made_anew_as_it_was_has_none_of_its_old_vectors(pair: Pair) -> None:
    pair.writer.create_space("second", "g", DIMENSION, "hnsw")
    pair.writer.put_vectors("second", "g", ["a", "b"], unit_vectors(2, 5))
    pair.hear()
    pair.writer.drop_space("second")
    pair.writer.create_space("second", "g", DIMENSION, "hnsw")
    pair.writer.put_vectors("second", "g", ["c"], unit_vectors(1, 6))
    pair.hear()
    pair.check()


def test_the_content_space_can_be_dropped_in_the_change_that_takes_its_role_away(pair: Pair) -> None:
    pair.writer.create_space("second", "g", DIMENSION, "hnsw")
    pair.writer.put_vectors("second", "g", ["a", "b", "c"], unit_vectors(3, 5))
    pair.writer.cut_over("second")
    pair.writer.drop_space("content-1")
    pair.hear()
    pair.check()


def test_uploaded_spaces_arrive_with_the_items_of_the_same_change(pair: Pair) -> None:
    put(pair.writer, "new", seed=3)
    pair.writer.replace_space("popular", Upload(("new", "a"), 2, Scores(np.array([2.0, 1.0]))))
    pair.writer.replace_space("collaborative", Upload(("new", "b"), 2, Vectors(unit_vectors(2, 7))))
    pair.hear()
    pair.check()
    popular = pair.replica.view.popular
    assert popular is not None
    assert [item.id for item in pair.replica.catalogue.find("new", 0, 5)] == ["new"]


def test_a_change_may_be_heard_by_one_that_is_further_already(pair: Pair) -> None:
    """As after the restoring of a snapshot that was taken in the midst of a change."""
    before = pair.at
    put(pair.writer, "d", seed=1)
    pair.hear()
    put(pair.writer, "d", "e", seed=2)
    pair.writer.delete(["a"])
    pair.at = before
    pair.hear()
    pair.check()


def test_more_than_a_change_may_hold_is_not_read(pair: Pair) -> None:
    put(pair.writer, *(f"n{number}" for number in range(20)))
    assert pair.change(most=19) is None
    assert pair.change(most=20) is not None


def test_a_replica_takes_no_writes_and_says_who_does(pair: Pair) -> None:
    writes: list[Callable[[], object]] = [
        lambda: put(pair.replica, "x"),
        lambda: pair.replica.patch([Patch("a", title="x")]),
        lambda: pair.replica.delete(["a"]),
        lambda: pair.replica.create_space("x", "g", 4, "hnsw"),
        lambda: pair.replica.put_vectors("content-1", "f", ["a"], unit_vectors(1, 1)),
        lambda: pair.replica.drop_space("content-1"),
        lambda: pair.replica.cut_over("content-1"),
        lambda: pair.replica.replace_space("popular", Upload(("a",), 1, Scores(np.array([2.0])))),
    ]
    for write in writes:
        with pytest.raises(ReadOnly, match="somewhere"):
            write()
    pair.check()


def test_a_change_of_another_catalogue_changes_nothing(pair: Pair) -> None:
    pair.writer.put_vectors("content-1", "f", ["a"], unit_vectors(1, 8))
    content, _ = pair.told()
    pair.writer.delete(["a"])
    pair.hear()
    pair.check()
    stray = from_bytes("change", content, Position("a line", 1, 3))
    with pytest.raises(Foreign, match="'a'"):
        pair.replica.apply(stray)
    pair.check()


@pytest.mark.parametrize("after", [Position("another line", 1, 3), Position("a line", 2, 3), Position("a line", 1, 3, "another hash")])
def test_a_change_that_does_not_continue_is_refused(pair: Pair, after: Position) -> None:
    put(pair.writer, "d")
    content, _ = pair.told()
    with pytest.raises(Foreign, match="does not continue"):
        from_bytes("change", content, after)


def test_any_flipped_bit_and_any_cut_is_noticed(pair: Pair) -> None:
    put(pair.writer, "d")
    content, _ = pair.told()
    chance = random.Random(3)
    for _ in range(200):
        place, bit = chance.randrange(len(content)), 1 << chance.randrange(8)
        with pytest.raises(Damaged):
            from_bytes("change", content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :], pair.at)
        with pytest.raises(Damaged):
            from_bytes("change", content[:place], pair.at)


@pytest.mark.parametrize("seed", range(4))
def test_a_replica_follows_random_writes(tmp_path: Path, seed: int) -> None:
    print("seed", seed)
    chance, pair = random.Random(seed), Pair(tmp_path)
    with closing(pair.writer), closing(pair.replica):
        put(pair.writer, "i0")
        for step in range(60):
            write_at_random(pair.writer, chance, step)
            if chance.random() < 0.3:
                pair.hear()
                pair.check()
        pair.hear()
        pair.check()
    for folder in ("writer", "replica"):
        with closing(Library(tmp_path / folder / CATALOGUE, 10)) as reopened:
            assert reopened.generation == pair.at.generation
    with closing(Library(tmp_path / "writer" / CATALOGUE, 10)) as library, library.catalogue.reading() as reader:
        assert (generation_of(reader), watermark_of(reader)) == (pair.at.generation, pair.at.watermark)


def write_at_random(library: Library, chance: random.Random, step: int) -> None:
    ids = sorted({f"i{chance.randrange(12)}" for _ in range(chance.randrange(1, 5))})
    there = [name for name in ids if library.item(name)]
    fingerprints = sorted({space.fingerprint for space in library.spaces()})
    spaces = sorted(space.name for space in library.spaces())
    match chance.randrange(8):
        case 0 | 1:
            put(library, *ids, seed=step, fingerprint=chance.choice(fingerprints))
        case 2:
            library.delete(ids)
        case 3:
            library.patch([Patch(name, title=f"patched {step}", attributes={"seed": None}) for name in there])
        case 4:
            name = chance.choice(["second", "third"])
            if name not in spaces:
                library.create_space(name, f"g{chance.randrange(2)}", DIMENSION, "hnsw")
        case 5:
            space = chance.choice(library.spaces())
            library.put_vectors(space.name, space.fingerprint, there, unit_vectors(len(ids), step)[: len(there)])
        case 6:
            library.cut_over(chance.choice(spaces), allow_missing=True)
        case 7:
            try:
                library.drop_space(chance.choice(spaces))
            except (SpaceInUse, FingerprintMismatch):
                library.replace_space("popular", Upload(tuple(ids), len(ids), Scores(np.ones(len(ids)))))
