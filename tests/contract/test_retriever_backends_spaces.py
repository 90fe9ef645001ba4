"""What every backend of the retriever promises of vector spaces: fingerprints, filling beside, cutting over, rolling back."""

import threading
from collections.abc import Callable

import numpy as np
import pytest
from tests.contract.retriever_stores import DIMENSION, counted, found, items, unit

from retriever.backends.protocol import CONTENT, FIRST_SPACE, Ask, Backend
from retriever.errors import (
    FingerprintMismatch,
    ItemUnknown,
    SpaceExists,
    SpaceInUse,
    SpaceInvalid,
    SpaceUnknown,
    VectorsMissing,
)
from retriever.filters import AnyOf, Where

FIRST, SECOND = "encoder-a", "encoder-b"
Open = Callable[[], Backend]
rng = np.random.default_rng(7)


def test_vectors_of_another_fingerprint_are_refused_with_both_names(store: Backend) -> None:
    store.put(FIRST, items("a"), unit(rng, 1))
    store.create_space("other", SECOND, DIMENSION, "hnsw")
    for refused in (
        lambda: store.put("encoder-c", items("b"), unit(rng, 1)),
        lambda: store.check_fingerprint("encoder-c"),
        lambda: store.put_vectors(CONTENT, "encoder-c", ["a"], unit(rng, 1)),
    ):
        with pytest.raises(FingerprintMismatch, match=r"(?s)encoder-c.*encoder-a"):
            refused()
    assert len(store) == 1


def test_a_second_space_is_filled_beside_and_cut_over_and_rolled_back(store: Backend) -> None:
    old, new = unit(rng, 3), unit(rng, 3, DIMENSION + 2)
    store.put(FIRST, items("a", "b", "c"), old)
    store.create_space("next", SECOND, DIMENSION + 2, "hnsw")
    store.put_vectors("next", SECOND, ["a", "b"], new[:2])
    with pytest.raises(VectorsMissing, match="1 "):
        store.cut_over("next")
    assert found(store, old[0], n=1) == ["a"]
    store.put_vectors("next", SECOND, ["c"], new[2:])
    store.cut_over("next")
    assert found(store, new[2], n=1) == ["c"]
    assert counted(store) == {"next": (True, False, 3, 0), FIRST_SPACE: (False, True, 3, 0)}
    store.cut_over(FIRST_SPACE)
    assert found(store, old[1], n=1) == ["b"]
    assert store.space() == store.space(FIRST_SPACE)


def test_every_search_during_cut_overs_sees_the_one_space_or_the_other(store: Backend) -> None:
    here, there = unit(rng, 8), unit(rng, 8)
    names = [f"i{at}" for at in range(8)]
    store.put(FIRST, items(*names), here)
    store.create_space("next", SECOND, DIMENSION, "hnsw")
    store.put_vectors("next", SECOND, names, there)
    query, stop = unit(rng, 1), threading.Event()
    answers: list[list[str]] = []

    def searching() -> None:
        while not stop.is_set():
            answers.append(found(store, query[0], n=8))

    reader = threading.Thread(target=searching)
    reader.start()
    for name in ("next", FIRST_SPACE) * 8:
        store.cut_over(name)
    stop.set()
    reader.join()
    expected = [[names[at] for at in np.argsort(-(vectors @ query[0]))] for vectors in (here, there)]
    assert len(answers) > 8
    assert all(answer in expected for answer in answers)


def test_a_put_leaves_vectors_of_other_fingerprints_and_its_filters_hold_there(store: Backend) -> None:
    vectors, other = unit(rng, 1), unit(rng, 1)
    store.put(FIRST, items("a", lang="de"), vectors)
    store.create_space("next", SECOND, DIMENSION, "hnsw")
    store.put_vectors("next", SECOND, ["a"], other)
    store.put(FIRST, items("a", "b", lang="fr"), unit(rng, 2))
    assert np.allclose(store.vectors("next", ["a"]), other, atol=1e-6)
    assert np.isnan(store.vectors("next", ["b"])).all()
    assert list(store.search(Ask(other, 5, "next", Where("lang", AnyOf(("fr",))))).ids[0]) == ["a"]


def test_a_space_in_use_is_not_dropped_and_a_dropped_one_is_gone(store: Backend) -> None:
    store.put(FIRST, items("a"), unit(rng, 1))
    store.create_space("next", SECOND, DIMENSION, "hnsw")
    with pytest.raises(SpaceInUse, match=FIRST_SPACE):
        store.drop_space(FIRST_SPACE)
    store.drop_space("next")
    for asking in (
        lambda: store.drop_space("next"),
        lambda: store.cut_over("next"),
        lambda: store.vectors("next", ["a"]),
        lambda: store.search(Ask(unit(rng, 1), 1, "next")),
        lambda: store.put_vectors("next", SECOND, ["a"], unit(rng, 1)),
        lambda: store.merge("next"),
        lambda: store.space("next"),
    ):
        with pytest.raises(SpaceUnknown, match="next"):
            asking()
    assert [state.name for state in store.spaces()] == [FIRST_SPACE]


def test_a_space_dropped_and_created_again_is_empty(store: Backend) -> None:
    store.put(FIRST, items("a"), unit(rng, 1))
    for _ in range(2):
        assert store.create_space("next", SECOND, DIMENSION, "hnsw").rows == 0
        store.put_vectors("next", SECOND, ["a"], unit(rng, 1))
        store.drop_space("next")


def test_a_space_is_created_once_and_never_changed(store: Backend) -> None:
    first = store.create_space("one", FIRST, DIMENSION, "hnsw")
    assert (first.content, first.rows, first.missing) == (True, 0, 0)
    assert store.create_space("one", FIRST, DIMENSION, "hnsw") == first
    for name, fingerprint, dimension in (
        ("one", SECOND, DIMENSION),
        ("one", FIRST, DIMENSION + 1),
        (CONTENT, FIRST, 3),
        ("popular", FIRST, 3),
    ):
        with pytest.raises(SpaceExists, match=name):
            store.create_space(name, fingerprint, dimension, "hnsw")
    with pytest.raises(SpaceInvalid, match=str(DIMENSION + 1)):
        store.create_space("two", FIRST, DIMENSION + 1, "hnsw")
    with pytest.raises(SpaceInvalid, match="fancy"):
        store.create_space("two", FIRST, DIMENSION, "fancy")


def test_vectors_of_unknown_items_are_refused_and_nothing_stored(store: Backend) -> None:
    store.put(FIRST, items("a"), unit(rng, 1))
    store.create_space("next", SECOND, DIMENSION, "hnsw")
    with pytest.raises(ItemUnknown, match="nobody"):
        store.put_vectors("next", SECOND, ["a", "nobody"], unit(rng, 2))
    assert np.isnan(store.vectors("next", ["a"])).all()


def test_a_put_goes_into_every_space_of_its_fingerprint(store: Backend) -> None:
    for name in ("one", "two"):
        store.create_space(name, FIRST, DIMENSION, "hnsw")
    vectors = unit(rng, 2)
    store.put(FIRST, items("a", "b"), vectors)
    for name in ("one", "two"):
        assert (store.vectors(name, ["a", "b"]) == vectors).all()
        assert found(store, vectors[1], name, n=1) == ["b"]
