import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from retriever import schema
from retriever.catalogue import Catalogue
from retriever.items import Floats, Item
from retriever.transaction import VALUES_AT_ONCE

MANY = VALUES_AT_ONCE // 3 + 7
"""More than one statement writes, of items as of words."""


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    made = Catalogue(tmp_path / "c.sqlite3")
    with made.writing() as transaction:
        transaction.create_space("s", "f", 2, "hnsw")
    yield made
    made.close()


def items(start: int, stop: int, title: str = "Title") -> list[Item]:
    return [
        Item(f"i{at}", f"{title} {at}", {"authors": (f"Author{at}",), "n": at}, f"text {at}" if at % 2 else None)
        for at in range(start, stop)
    ]


def vectors(count: int, shift: float = 0) -> Floats:
    angles = np.arange(count) / count + shift
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def found(catalogue: Catalogue, typed: str) -> list[str]:
    return [item.id for item in catalogue.find(typed, 0, 10)]


@pytest.mark.parametrize("count", [1, VALUES_AT_ONCE // 6, VALUES_AT_ONCE // 3, MANY])
def test_however_many_items_are_written_each_is_read_as_it_was(catalogue: Catalogue, count: int) -> None:
    with catalogue.writing() as transaction:
        numbers, new = transaction.put_items(items(0, count))
        kept = transaction.put_vectors(1, numbers, vectors(count), new=True)
    assert numbers.tolist() == [*range(1, count + 1)]
    assert new.all()
    assert [catalogue.item(item.id) for item in items(0, count)] == items(0, count)
    assert np.array_equal(catalogue.vectors(kept.versions.tolist(), 2), vectors(count))
    assert found(catalogue, f"author{count - 1}") == [f"i{count - 1}"]


def test_known_and_new_items_of_one_batch_keep_and_get_their_numbers(catalogue: Catalogue) -> None:
    with catalogue.writing() as transaction:
        transaction.put_vectors(1, transaction.put_items(items(0, MANY))[0], vectors(MANY))
    mixed = [item for pair in zip(items(0, MANY, "Later"), items(MANY, 2 * MANY), strict=True) for item in pair]
    with catalogue.writing() as transaction:
        numbers, new = transaction.put_items(mixed)
        kept = transaction.put_vectors(1, numbers, np.repeat(vectors(MANY), 2, axis=0))
    assert new.tolist() == [False, True] * MANY
    assert numbers[::2].tolist() == [*range(1, MANY + 1)]
    assert numbers[1::2].tolist() == [*range(MANY + 1, 2 * MANY + 1)]
    assert kept.written.tolist() == [False, True] * MANY
    assert kept.versions.tolist() == numbers.tolist()
    assert [catalogue.item(item.id) for item in mixed] == mixed
    assert found(catalogue, "later 1")[0] == "i1"
    assert found(catalogue, f"title {MANY - 1}") == []


def test_numbers_and_versions_are_never_given_twice(catalogue: Catalogue) -> None:
    with catalogue.writing() as transaction:
        numbers, _ = transaction.put_items(items(0, MANY))
        transaction.put_vectors(1, numbers, vectors(MANY), new=True)
        transaction.delete(numbers, [f"i{at}" for at in range(MANY)])
    with catalogue.writing() as transaction:
        numbers, new = transaction.put_items(items(0, 2))
        kept = transaction.put_vectors(1, numbers, vectors(2), new=True)
    assert new.all()
    assert numbers.tolist() == kept.versions.tolist() == [MANY + 1, MANY + 2]


def test_a_new_file_has_large_pages_and_an_old_one_keeps_its_own(tmp_path: Path, catalogue: Catalogue) -> None:
    old = sqlite3.connect(tmp_path / "old.sqlite3", isolation_level=None)
    old.execute("PRAGMA page_size = 4096")
    for statement in schema.NEW:
        old.execute(statement)
    old.execute(f"PRAGMA user_version = {schema.VERSION}")
    old.close()
    opened = Catalogue(tmp_path / "old.sqlite3")
    for made, size in ((catalogue, schema.PAGE_BYTES), (opened, 4096)):
        with made.reading() as reader:
            assert reader.execute("PRAGMA page_size").fetchone() == (size,)
    with opened.writing() as transaction:
        transaction.put_items(items(0, MANY))
    assert opened.count() == MANY
    opened.close()


def test_a_merge_that_was_asked_for_is_known_after_a_restart_until_it_is_done(tmp_path: Path, catalogue: Catalogue) -> None:
    with catalogue.writing() as transaction:
        other = transaction.create_space("other", "g", 2, "hnsw")
    for space in (1, other, other):
        catalogue.ask_merge(space)
    generation = catalogue.meta().generation
    again = Catalogue(tmp_path / "c.sqlite3")
    assert again.merging() == {1, other}
    again.merged(1)
    assert catalogue.merging() == {other}
    assert catalogue.meta().generation == generation
    with again.writing() as transaction:
        transaction.drop_space(other, "other")
    assert again.merging() == frozenset()
    again.close()


def test_a_catalogue_that_could_not_note_merges_can_from_now_on(tmp_path: Path) -> None:
    Catalogue(tmp_path / "old.sqlite3").close()
    with sqlite3.connect(tmp_path / "old.sqlite3") as old:
        old.execute("DROP TABLE merging")
    old.close()
    opened = Catalogue(tmp_path / "old.sqlite3")
    assert opened.merging() == frozenset()
    opened.close()
