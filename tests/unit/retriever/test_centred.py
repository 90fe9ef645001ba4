import numpy as np
import pytest

from retriever.centred import NOWHERE, Centre, Centred
from retriever.items import Item
from retriever.view import View


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


def test_a_view_sees_all_its_items_from_the_mean_of_a_recent_catalogue() -> None:
    view, embeddings = View.empty(lenders=2), units(90)
    for start in range(0, 90, 9):
        view = view.with_items([Item(str(n), "t") for n in range(start, start + 9)], embeddings[start : start + 9])
        centre = view.centred.centre
        assert len(view) / 1.25 <= centre.items <= len(view) * 1.25
        assert centre.mean == pytest.approx(embeddings[: centre.items].mean(axis=0), abs=1e-6)
        assert np.array_equal(view.centred.segment.take(np.arange(len(view))), centre.seen_from(embeddings[: len(view)]))
    for n in range(89, 20, -1):
        view = view.without(str(n))
    assert view.centred.centre.mean == pytest.approx(embeddings[: view.centred.centre.items].mean(axis=0), abs=1e-6)
    assert view.centred.centre.items <= 26


def test_nothing_is_seen_of_an_empty_catalogue() -> None:
    assert Centred.around(NOWHERE, np.empty((0, 0), np.float32)).segment.take(np.empty(0, np.int64)).size == 0
