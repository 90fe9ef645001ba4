"""What is built when, and that all lanes may be under way at once."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from retriever import upkeep
from retriever.backends.protocol import Ask
from retriever.builder import do
from retriever.items import Floats, Item
from retriever.library import Library
from retriever.upkeep import Base, Job, Seal

DIMENSION = 16


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Library]:
    for name, value in {
        "SEAL_ROWS": 10,
        "SMALL_ROWS": 40,
        "MIDDLE_ROWS": 80,
        "GRAPH_ROWS": 100,
        "POSTPONED_ROWS": 400,
        "FANOUT": 3,
    }.items():
        monkeypatch.setattr(upkeep, name, value)
    opened = Library(tmp_path / "c.sqlite3", lenders=2, fsync=False)
    yield opened
    opened.close()


def vectors(first: int, count: int) -> Floats:
    drawn = np.random.default_rng(first).standard_normal((count, DIMENSION))
    units: Floats = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
    return units


def put(library: Library, first: int, count: int) -> None:
    library.put("f", [Item(f"i{number}", "t") for number in range(first, first + count)], vectors(first, count))


def built(library: Library, job: Job) -> dict[str, object]:
    return do(job.asked(library.catalogue.path, library.store.folder, 1))


def build(library: Library, *, poured: bool = False) -> list[Job]:
    """Everything that is due; what it was."""
    done = []
    while (job := library.begin_job(poured=poured)) is not None:
        library.end_job(job, built(library, job))
        done.append(job)
    return done


def kinds(library: Library) -> list[tuple[str, int]]:
    assert library.view.content
    return [(part.segment.kind, part.live) for part in library.view.content.closed]


def finds_all(library: Library, first: int, count: int) -> bool:
    found = library.search(Ask(vectors(first, count), 1)).ids
    return found == [[f"i{number}"] for number in range(first, first + count)]


def test_a_small_segment_is_added_to_until_it_is_large_enough_to_stay(library: Library) -> None:
    seen = []
    for first in range(0, 70, 10):
        put(library, first, 10)
        build(library)
        seen.append([rows for _, rows in kinds(library)])
    assert seen == [[10], [20], [30], [40], [40, 10], [40, 20], [40, 30]]
    assert {kind for kind, _ in kinds(library)} == {"ivf-pq"}


def test_small_segments_become_a_graph_when_they_hold_enough(library: Library) -> None:
    for first in range(0, 120, 20):
        put(library, first, 20)
        build(library)
    assert kinds(library) == [("hnsw", 100), ("ivf-pq", 20)]
    assert all(finds_all(library, first, 20) for first in range(0, 120, 20))


def test_small_segments_are_merged_before_there_is_enough_for_a_graph(library: Library) -> None:
    for first in range(0, 80, 40):
        put(library, first, 40)
        build(library)
    assert kinds(library) == [("ivf-pq", 80)]


def test_large_segments_of_one_size_are_merged_when_there_are_enough(library: Library) -> None:
    for first in range(0, 300, 100):
        put(library, first, 100)
        build(library)
    assert kinds(library) == [("hnsw", 300)]


def test_while_rows_are_poured_in_one_graph_waits_to_be_built_for_all_of_them(library: Library) -> None:
    for first in range(0, 300, 100):
        put(library, first, 100)
        assert {job.lane for job in build(library, poured=True)} == {"quick"}
    build(library)
    assert kinds(library) == [("hnsw", 300)]
    for first in range(300, 700, 100):
        put(library, first, 100)
        build(library, poured=True)
    assert ("hnsw", 400) in kinds(library) or kinds(library) == [("hnsw", 700)]


def test_seals_go_on_beside_a_long_job_and_what_dies_meanwhile_is_dead_in_both(library: Library) -> None:
    put(library, 0, 120)
    quick = library.begin_job("quick")
    assert quick is not None
    library.end_job(quick, built(library, quick))
    long = library.begin_job("long")
    assert isinstance(long, Seal)
    made = built(library, long)
    put(library, 120, 15)
    beside = library.begin_job("quick")
    assert isinstance(beside, Seal)
    assert beside.lo >= long.hi
    also = built(library, beside)
    library.delete(["i3", "i125"])
    put(library, 4, 1)
    library.end_job(beside, also)
    library.delete(["i5"])
    library.end_job(long, made)
    assert kinds(library) == [("hnsw", 117), ("ivf-pq", 14)]
    gone = library.search(Ask(np.concatenate([vectors(0, 120)[[3, 5]], vectors(120, 15)[[5]]]), 1)).ids
    assert all(names != [name] for names, name in zip(gone, ("i3", "i5", "i125"), strict=True))
    assert finds_all(library, 4, 1)
    assert library.search(Ask(vectors(120, 15)[10:], 1)).ids == [[f"i{number}"] for number in range(130, 135)]


def test_the_base_of_attributes_is_built_beside_the_seals_and_less_often_while_rows_are_poured_in(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "LOG_ROWS", 5)
    put(library, 0, 100)
    quick, base = library.begin_job("quick"), library.begin_job("base")
    assert isinstance(quick, Seal)
    assert isinstance(base, Base)
    put(library, 100, 30)
    for job in (base, quick):
        library.end_job(job, built(library, job))
    assert library.view.attributes.changed_rows == 30
    assert not [job for job in library.due(poured=True) if isinstance(job, Base)]
    assert [job for job in library.due() if isinstance(job, Base)]


def test_no_two_jobs_build_the_same_vectors(library: Library) -> None:
    put(library, 0, 120)
    quick = library.begin_job("quick")
    assert quick is not None
    library.end_job(quick, built(library, quick))
    long = library.begin_job("long")
    assert long is not None
    library.merge("content")
    assert library.begin_job() is None
    library.end_job(long, None)
    whole = library.begin_job()
    assert isinstance(whole, Seal)
    assert whole.whole
    library.end_job(whole, built(library, whole))
    assert library.begin_job() is None
    assert kinds(library) == [("hnsw", 120)]


def test_a_space_of_inverted_files_keeps_its_kind_at_every_size(library: Library) -> None:
    library.create_space("lists", "g", DIMENSION, "ivf-sq8")
    library.put("g", [Item(f"i{number}", "t") for number in range(150)], vectors(0, 150))
    build(library)
    assert {part.segment.kind for part in library.view.named("lists").closed} == {"ivf-sq8"}
