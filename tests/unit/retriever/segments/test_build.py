import multiprocessing
import resource
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from tests.unit.retriever.segments.sealing import FOREVER, catalogue, topics

from retriever.segments.build import build
from retriever.segments.kinds import KINDS
from retriever.segments.sealed import Sealed

DIM = 16


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Space 1 has the odd versions 1 to 399, space 2 the even ones from 2."""
    path = catalogue(tmp_path / "catalogue.sqlite", topics(200, DIM), np.arange(200))
    return catalogue(path, topics(50, DIM, seed=1), np.arange(50), space=2, first=2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "segments"
    made.mkdir()
    return made


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_segment_of_any_kind_takes_the_versions_of_its_range_and_space(source: Path, folder: Path, kind: str) -> None:
    entry = build(source, folder, 1, DIM, kind, 101, 201, 1)
    assert entry is not None
    assert (entry.kind, entry.lo, entry.hi, entry.rows) == (kind, 101, 201, 50)
    segment = Sealed.open(folder, entry)
    assert sorted(segment.versions.tolist()) == list(range(101, 201, 2))
    assert sorted(segment.numbers.tolist()) == list(range(50, 100))
    assert segment.search(topics(200, DIM)[60:61], 1, 50)[1].tolist() == [[60]]


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_single_vector_is_a_segment_of_any_kind(source: Path, folder: Path, kind: str) -> None:
    entry = build(source, folder, 1, DIM, kind, 1, 2, 1)
    assert entry is not None
    assert Sealed.open(folder, entry).search(topics(1, DIM), 3, 10)[1].tolist() == [[0, -1, -1]]


def test_an_empty_range_is_no_segment(source: Path, folder: Path) -> None:
    assert build(source, folder, 1, DIM, "hnsw", 1_000, FOREVER, 1) is None
    assert list(folder.iterdir()) == []


def test_a_folder_holds_exactly_the_files_of_its_entries(source: Path, folder: Path) -> None:
    entries = [build(source, folder, 1, DIM, "hnsw", 0, FOREVER, 1) for _ in range(2)]
    names = [set(entry.files) for entry in entries if entry is not None]
    assert not names[0] & names[1]
    assert {path.name for path in folder.iterdir()} == names[0] | names[1]


def test_a_segment_built_twice_finds_the_same(source: Path, folder: Path) -> None:
    first, second = (build(source, folder, 1, DIM, "hnsw", 0, FOREVER, 1) for _ in range(2))
    assert first is not None
    assert second is not None
    queries = topics(20, DIM, seed=3)
    assert (Sealed.open(folder, first).search(queries, 10, 64)[1] == Sealed.open(folder, second).search(queries, 10, 64)[1]).all()


def test_the_catalogue_is_only_read(source: Path, folder: Path) -> None:
    before = source.read_bytes()
    build(source, folder, 1, DIM, "hnsw", 0, FOREVER, 1)
    assert source.read_bytes() == before


def test_a_missing_catalogue_is_not_made(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(sqlite3.OperationalError):
        build(tmp_path / "absent.sqlite", folder, 1, DIM, "hnsw", 0, FOREVER, 1)
    assert not (tmp_path / "absent.sqlite").exists()


def test_a_vector_of_another_dimension_leaves_no_file(source: Path, folder: Path) -> None:
    with closing(sqlite3.connect(source)) as db, db:
        db.execute("UPDATE vectors SET embedding = ? WHERE version = 7", (b"\0" * 12,))
    with pytest.raises(ValueError, match="16"):
        build(source, folder, 1, DIM, "hnsw", 0, FOREVER, 1)
    assert list(folder.iterdir()) == []


def in_little_space(source: Path, folder: Path, most: int, answer: "multiprocessing.queues.Queue[str]") -> None:
    """In a process of its own: no file can grow beyond `most` bytes, as on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    try:
        entry = build(source, folder, 1, DIM, "hnsw", 0, FOREVER, 1)
        answer.put(f"built {entry}")
    except OSError as error:
        answer.put(f"OSError {error.strerror}")


@pytest.mark.parametrize("most", [100, 13_000, 80_000])
def test_a_full_disk_is_reported_and_leaves_no_file(source: Path, folder: Path, most: int) -> None:
    spawn = multiprocessing.get_context("spawn")
    answer = spawn.Queue()
    process = spawn.Process(target=in_little_space, args=(source, folder, most, answer))
    process.start()
    told = answer.get(timeout=60)
    process.join()
    if most == 80_000:
        assert told.startswith("built")
    else:
        assert told == "OSError File too large"
        assert list(folder.iterdir()) == []
