from pathlib import Path

import numpy as np
import pytest

from retriever import centred as centred_module
from retriever.centre import NOWHERE, Centre
from retriever.centred import Centred
from retriever.identity import Identity
from retriever.items import Floats, Item
from retriever.library import Library
from retriever.vectorspace import VectorSpace


def units(count: int, seed: int = 0) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    vectors = np.random.default_rng(seed).standard_normal((count, 6)) + 1.0
    unit: np.ndarray[tuple[int, int], np.dtype[np.float32]] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit.astype(np.float32)


def test_embeddings_are_seen_as_unit_vectors_from_the_mean() -> None:
    embeddings = units(50)
    seen = Centre(embeddings.mean(axis=0, dtype=np.float64), 50).seen_from(embeddings)
    assert np.linalg.norm(seen, axis=1) == pytest.approx(np.ones(50), abs=1e-6)
    away = embeddings - embeddings.mean(axis=0)
    assert (seen * away).sum(axis=1) == pytest.approx(np.linalg.norm(away, axis=1), abs=1e-6)


def test_an_embedding_at_the_centre_is_like_nothing() -> None:
    same = np.repeat(units(1), 5, axis=0)
    assert not Centre(same.mean(axis=0, dtype=np.float64), 5).seen_from(same).any()


def test_the_centre_moves_when_the_catalogue_has_grown_or_shrunk_by_a_quarter() -> None:
    centre = Centre(np.zeros(6), 100)
    assert [items for items in range(0, 200, 5) if not centre.due(items)] == [0, *range(80, 130, 5)]
    assert NOWHERE.due(1)
    assert not NOWHERE.due(0)


def test_items_are_seen_from_the_mean_of_a_recent_catalogue(tmp_path: Path) -> None:
    library, embeddings = Library(tmp_path / "c.sqlite3", lenders=2), units(90)
    for start in range(0, 90, 9):
        library.put("f", [Item(str(n), "t") for n in range(start, start + 9)], embeddings[start : start + 9])
        centre = library.view.centre
        assert len(library) / 1.25 <= centre.items <= len(library) * 1.25
        assert centre.mean == pytest.approx(embeddings[: centre.items].mean(axis=0), abs=1e-6)
        assert library.view.centred.seen(library.view.rows) == pytest.approx(centre.seen_from(embeddings[: len(library)]), abs=1e-6)
    for n in range(89, 20, -1):
        library.delete([str(n)])
    assert library.view.centre.mean == pytest.approx(embeddings[: library.view.centre.items].mean(axis=0), abs=1e-6)
    assert library.view.centre.items <= 26
    library.close()


def space_of(embeddings: Floats) -> VectorSpace:
    rows = np.arange(len(embeddings))
    return VectorSpace.empty(Identity(1, "s", "f", embeddings.shape[1], "hnsw", 1)).put(rows, rows, embeddings)


@pytest.mark.parametrize("queries", [3, 30])
def test_cosines_and_the_nearest_are_those_of_the_vectors_themselves(queries: int) -> None:
    embeddings = units(200)
    centre = Centre(embeddings.mean(axis=0, dtype=np.float64), 200)
    centred, seen, among = Centred(centre, space_of(embeddings)), centre.seen_from(embeddings), np.arange(0, 200, 3)
    expected = seen[:queries] @ seen[among].T
    assert centred.cosines(seen[:queries], among) == pytest.approx(expected, abs=1e-5)
    cosines, rows = centred.nearest(seen[:queries], 5, among)
    order = np.argsort(-expected, axis=1)[:, :5]
    assert np.array_equal(rows, among[order])
    assert cosines == pytest.approx(np.take_along_axis(expected, order, axis=1), abs=1e-5)


def test_among_many_rows_the_nearest_come_from_the_index_and_are_scored_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(centred_module, "EXACT_ROWS", 50)
    embeddings = units(200)
    centre = Centre(embeddings.mean(axis=0, dtype=np.float64), 200)
    centred, seen = Centred(centre, space_of(embeddings)), centre.seen_from(embeddings)
    cosines, rows = centred.nearest(seen[:4], 3, np.arange(100))
    assert rows.max() < 100
    assert rows[:, 0].tolist() == [0, 1, 2, 3]
    assert cosines == pytest.approx(np.stack([seen[query] @ seen[found].T for query, found in enumerate(rows)]), abs=1e-5)


def test_an_item_at_the_centre_is_like_nothing_in_the_index_either() -> None:
    same = np.repeat(units(1), 5, axis=0)
    centred = Centred(Centre(same.mean(axis=0, dtype=np.float64), 5), space_of(same))
    assert not centred.cosines(units(3, seed=1), np.arange(5)).any()
