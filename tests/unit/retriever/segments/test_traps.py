"""What FAISS does that a naive index would fall for, and that this one does not."""

import json
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import faiss
import numpy as np
import pytest
from pyroaring import BitMap
from tests.unit.retriever.segments.sealing import catalogue, nearest, recall, seal, topics

from retriever import plan
from retriever.allowed import Allowed
from retriever.items import Bools, Rows
from retriever.segments.build import build
from retriever.segments.flat import FlatSegment, search_on_one_thread
from retriever.segments.sealed import Sealed

ROWS, DIM = 20_000, 128
VECTORS = topics(ROWS, DIM)
NUMBERS = np.arange(ROWS)
QUERIES = topics(60, DIM, seed=1)


@pytest.fixture(scope="module")
def segment(tmp_path_factory: pytest.TempPathFactory) -> Sealed:
    return seal(tmp_path_factory.mktemp("sealed"), VECTORS, NUMBERS)


def filtered_by_faiss(segment: Sealed, kept: Bools, **effort: int) -> Rows:
    """What the graph itself finds when it is given the filter."""
    local = np.packbits(kept[segment.numbers], bitorder="little")
    selector = faiss.IDSelectorBitmap(len(local), faiss.swig_ptr(local))
    parameters = faiss.SearchParametersHNSW(sel=selector, **effort)  # type: ignore[attr-defined]  # SWIG makes it at import
    rows = segment._index.search(QUERIES, 10, params=parameters)[1]
    return np.where(rows < 0, -1, segment.numbers[rows])


def planned(segment: Sealed, kept: Bools) -> Rows:
    return plan.search([plan.SealedPart(segment, BitMap())], QUERIES, 10, Allowed(BitMap(np.flatnonzero(kept).tolist()))).numbers


def correlated(share: float) -> Bools:
    kept = np.zeros(ROWS, np.bool_)
    kept[np.argsort(-(VECTORS @ VECTORS[3]))[: int(share * ROWS)]] = True
    return kept


@pytest.mark.parametrize("share", [0.5, 0.1, 0.02])
def test_a_correlated_filter_that_starves_the_graph_of_faiss_does_not_starve_the_plan(segment: Sealed, share: float) -> None:
    kept = correlated(share)
    truth = nearest(QUERIES, VECTORS[kept], NUMBERS[kept], 10)
    assert recall(filtered_by_faiss(segment, kept, efSearch=64), truth) < 0.9
    assert recall(planned(segment, kept), truth) >= 0.98


def test_a_selector_that_resets_the_effort_of_faiss_does_not_reset_ours(segment: Sealed) -> None:
    kept = np.random.default_rng(0).random(ROWS) < 0.6
    truth = nearest(QUERIES, VECTORS[kept], NUMBERS[kept], 10)
    segment._index.hnsw.efSearch = 64
    without = recall(filtered_by_faiss(segment, kept), truth)
    assert without < recall(filtered_by_faiss(segment, kept, efSearch=64), truth)
    segment._index.hnsw.efSearch = 1  # nor do we rely on what an index carries
    assert recall(planned(segment, kept), truth) >= 0.98
    assert recall(segment.search(QUERIES, 10, segment.effort(10))[1], nearest(QUERIES, VECTORS, NUMBERS, 10)) >= 0.98


def test_a_graph_that_can_forget_nothing_never_shows_what_is_dead(segment: Sealed) -> None:
    with pytest.raises(RuntimeError, match="remove_ids not implemented"):
        segment._index.remove_ids(np.array([1]))
    dead = nearest(QUERIES, VECTORS, NUMBERS, 10)[:, ::2]
    part = plan.SealedPart(segment, BitMap(dead.ravel().tolist()))
    alive = ~np.isin(NUMBERS, dead)
    found = plan.search([part], QUERIES, 10).numbers
    assert not np.isin(found, dead).any()
    assert recall(found, nearest(QUERIES, VECTORS[alive], NUMBERS[alive], 10)) >= 0.98


def test_a_number_that_an_id_map_would_hold_twice_can_not_be_in_a_segment_twice(tmp_path: Path) -> None:
    lenient = faiss.IndexIDMap2(faiss.IndexFlatIP(DIM))
    lenient.add_with_ids(VECTORS[:2], np.array([7, 7]))
    assert lenient.search(VECTORS[:1], 2)[1].tolist() == [[7, 7]]
    path = catalogue(tmp_path / "c.sqlite", VECTORS[:2], np.array([7, 8]))
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE loose AS SELECT * FROM vectors")
        db.execute("DROP TABLE vectors")
        db.execute("ALTER TABLE loose RENAME TO vectors")
        db.execute("UPDATE vectors SET number = 7")
    db.close()
    with pytest.raises(ValueError, match="number 7 comes twice"):
        build(path, tmp_path, 1, DIM, "hnsw", 0, 100, 1)
    assert [file.name for file in tmp_path.iterdir()] == ["c.sqlite"]


def test_searches_are_right_while_a_writer_appends_and_swaps(segment: Sealed) -> None:
    """FAISS wants no search beside a change: readers hold parts that never change, and only take newer ones."""
    fresh = topics(4_000, DIM, seed=2)
    flat, view = FlatSegment(), [plan.FlatPart(FlatSegment(), np.empty(0, np.int64), BitMap())]
    failures: list[str] = []
    done = threading.Event()

    def read() -> None:
        search_on_one_thread()
        while not done.is_set():
            part = view[0]
            count = len(part.numbers)
            found = plan.search([plan.SealedPart(segment, BitMap()), part], fresh[max(0, count - 1) : count], 1).numbers
            if found.tolist() != [[ROWS + count - 1]] * min(1, count):
                failures.append(f"{count} rows: {found}")

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    numbers = ROWS + np.arange(len(fresh))
    for at in range(0, len(fresh), 50):
        flat.append(at, fresh[at : at + 50])
        view[0] = plan.FlatPart(flat, numbers[: at + 50], BitMap())
    done.set()
    for reader in readers:
        reader.join()
    assert failures == []


RESIDENT = """
import json, sys
from pathlib import Path
from retriever.segments.entry import Entry
from retriever.segments.sealed import Sealed
def resident():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1]) * 1024
before = resident()
segment = Sealed.open(Path(sys.argv[1]), Entry.from_json(json.loads(sys.argv[2])))
opened = resident() - before
segment.vectors.sum()
print(opened, resident() - before, segment.vectors.nbytes)
"""


def test_an_opened_segment_is_not_read_into_memory(tmp_path: Path) -> None:
    entry = build(
        catalogue(tmp_path / "c.sqlite", np.tile(VECTORS[:10_000], (1, 4)), NUMBERS[:10_000]), tmp_path, 1, 4 * DIM, "hnsw", 0, 1 << 40, 1
    )
    assert entry is not None
    command = [sys.executable, "-c", RESIDENT, str(tmp_path), json.dumps(entry.to_json())]
    opened, touched, size = map(int, subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())
    assert opened < 0.6 * size
    assert touched > opened + 0.9 * size


def test_a_search_in_a_worker_uses_that_worker_alone(segment: Sealed) -> None:
    before = threads_of_this_process()
    search_on_one_thread()
    segment.search(QUERIES[:1], 10, 64)
    segment.scan(QUERIES[:1], 10, Allowed(BitMap(range(0, ROWS, 3))), segment.clusters.likeness(QUERIES[:1]), 1.0)
    assert threads_of_this_process() <= before


def threads_of_this_process() -> int:
    return len(list(Path("/proc/self/task").iterdir()))
