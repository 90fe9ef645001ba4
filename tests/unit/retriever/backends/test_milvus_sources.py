"""What is Milvus' own in recommendations, uploaded spaces and search as you type. The shared promises are in tests/contract."""

import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.contract.retriever_stores import DIMENSION, items, unit

from retriever.backends.milvus import Milvus, listed, typed, uploads
from retriever.backends.milvus.sample import Sample
from retriever.backends.protocol import Ask
from retriever.errors import SpaceInvalid, StorageFailed
from retriever.filters import Range, Where
from retriever.items import Item
from retriever.retrieval import Question
from retriever.sources import Query
from retriever.upload import SpaceUpload

ENCODER = "encoder"
NAMES = [f"i{at:03}" for at in range(300)]
VECTORS = unit(np.random.default_rng(2), len(NAMES))
Open = Callable[..., Milvus]
made = itertools.count()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("milvus") / "lite.db"


@pytest.fixture
def opened(file: Path) -> Iterator[Open]:
    """Opens the test's store, also several times at once as several retrievers would."""
    prefix, stores = f"sources_{next(made)}", list[Milvus]()

    def opening(**chosen: Any) -> Milvus:
        stores.append(Milvus(str(file), prefix=prefix, **chosen))
        return stores[-1]

    yield opening
    for store in stores:
        with closing(store):
            pass


def uploaded(store: Milvus, space: str, rows: Mapping[str, Any], field: str) -> None:
    upload = SpaceUpload(space)
    for name, value in rows.items():
        upload.feed(json.dumps({"id": name, field: value}).encode() + b"\n")
    store.replace_space(space, upload.finish())


def scores(store: Milvus, n: int = 3) -> list[str]:
    return [one.item.id for one in store.retrieve(Question({"popular": 1.0}, k=n), n).found]


def test_a_sample_of_many_is_drawn_by_the_ids_and_the_same_by_all(opened: Open) -> None:
    store = opened(sampled=100)
    store.put(ENCODER, items(*NAMES), VECTORS)
    space = store._registry.required("content")
    drawn = [Sample.drawn(one._server, space, 1, 100) for one in (store, opened())]
    assert 30 <= drawn[0].moments.count <= 120, "about one in four of 300"
    assert (drawn[0].seen == drawn[1].seen).all()
    assert drawn[0].centre.items == 300
    assert Sample.drawn(store._server, space, 1, 300).moments.count == 300


def test_recommendations_by_a_sample_differ_little_from_those_by_all(opened: Open) -> None:
    whole = opened()
    whole.put(ENCODER, items(*NAMES), VECTORS)
    asked = Question({"content": 1.0, "similar": 1.0}, [Query("q", VECTORS[7], 1.0)], ["i003"], k=20)
    found, by_sample = whole.retrieve(asked, 50).found, opened(sampled=100).retrieve(asked, 50).found
    assert {one.item.id for one in found[:5]} <= {one.item.id for one in by_sample}
    raw = {one.item.id: one.said["content"].score for one in found}
    assert all(one.said["content"].score == pytest.approx(raw[one.item.id], abs=1e-6) for one in by_sample if one.item.id in raw)


def test_an_item_that_was_not_uploaded_neither_gains_nor_loses_and_has_the_lowest_popularity(opened: Open) -> None:
    store = opened()
    store.put(ENCODER, items("a", "b", "c", "cold"), VECTORS[:4])
    uploaded(store, "collaborative", {"a": [("b", 1.0), ("c", 3.0)], "b": [("a", 2.0)]}, "neighbours")
    uploaded(store, "popular", {"a": 5.0, "b": 2.0, "c": 4.0}, "score")
    said = {one.item.id: one.said for one in store.retrieve(Question({"collaborative": 1.0, "popular": 1.0}, liked=["a"], k=9), 9).found}
    cold = said["cold"]["collaborative"]
    assert (cold.standard_score, cold.rank, cold.found_by) == (0.0, None, None)
    assert (said["cold"]["popular"].score, said["cold"]["popular"].rank) == (2.0, None)
    assert said["b"]["collaborative"].standard_score < 0 < said["c"]["collaborative"].standard_score


def test_where_many_are_allowed_the_best_scores_are_asked_about_until_enough_are_there(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listed, "FEW", 4)
    monkeypatch.setattr(listed, "FIRST_ASKED", 8)
    store = opened()
    store.put(ENCODER, [Item(name, name, {"at": at}) for at, name in enumerate(NAMES)], VECTORS)
    popularity = {name: float(at) for at, name in enumerate(NAMES)} | {f"gone-{at}": 1000.0 + at for at in range(50)}
    uploaded(store, "popular", popularity, "score")
    assert scores(store) == ["i299", "i298", "i297"]
    low = Question({"popular": 1.0}, filter=Where("at", Range(lt=40)), exclude=("i039",), k=3)
    assert [one.item.id for one in store.retrieve(low, 3).found] == ["i038", "i037", "i036"]
    monkeypatch.setattr(listed, "DEEPEST", 60)
    assert scores(store, 20) == NAMES[:-11:-1], "nothing is looked for below the deepest"


def test_a_large_upload_is_kept_in_parts_and_what_it_replaced_is_gone(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "PART_BYTES", 500)
    store = opened()
    store.put(ENCODER, items(*NAMES), VECTORS)
    uploaded(store, "popular", dict(zip(NAMES, np.random.default_rng(1).random(300).tolist(), strict=True)), "score")
    kept = store._server.count(store._uploads._collection)
    assert kept == store._registry.known.uploads["popular"].parts > 5
    store._server.upsert(store._uploads._collection, [{"id": "popular:cut-off:000000", "vector": [0.0, 0.0], "part": ""}])
    uploaded(store, "collaborative", {"i000": [("i001", 1.0)]}, "neighbours")
    uploaded(store, "popular", {"i001": 2.0, "i000": 1.0}, "score")
    assert store._server.count(store._uploads._collection) == sum(mark.parts for mark in store._registry.known.uploads.values())
    assert scores(opened(), 2) == ["i001", "i000"]


def test_several_retrievers_see_the_same_uploads_and_writes(opened: Open) -> None:
    one, two = opened(), opened()
    one.put(ENCODER, items(*NAMES[:5]), VECTORS[:5])
    for best in NAMES[:3]:
        uploaded(one, "popular", {name: float(name == best) for name in NAMES[:5]}, "score")
        assert (scores(one, 1), scores(two, 1)) == ([best], [best])
        assert [(state.kind, state.rows) for state in two.uploads()] == [("empty", 0), ("scores", 5)]
    generation = one.delete([NAMES[2]]).generation
    assert two.reached(generation)
    assert not two.reached(generation + 1)
    assert NAMES[2] not in scores(two, 5)


def test_parts_that_are_missing_are_told_and_not_taken_for_the_space(opened: Open) -> None:
    store = opened()
    store.put(ENCODER, items("a"), VECTORS[:1])
    uploaded(store, "popular", {"a": 1.0}, "score")
    store._server.delete_where(store._uploads._collection, 'id like "popular:%"')
    with pytest.raises(StorageFailed, match="upload it again with PUT /v1/spaces"):
        opened().retrieve(Question({"popular": 1.0}), 5)


def test_of_many_that_match_what_is_typed_the_same_title_and_the_popular_ones_are_found(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(typed, "MOST", 5)
    store = opened()
    catalogue = [Item(f"i{at:03}", f"Dune {at}") for at in range(100)]
    store.put(ENCODER, [*catalogue, Item("exact", "Dune")], VECTORS[:101])
    uploaded(store, "popular", {"i090": 9.0, "i070": 8.0, "i000": 1.0}, "score")
    names = [item.id for item in store.find("dune", 0, 50)]
    assert names[:3] == ["exact", "i090", "i070"]
    assert 5 <= len(names) <= 9


def test_an_item_that_is_gone_before_its_vector_is_read_counts_as_nothing(opened: Open) -> None:
    store = opened()
    store.put(ENCODER, items("a", "b"), VECTORS[:2])
    stock = store._stock()
    rows = stock.rows_of(["a", "gone", "b"])
    assert stock.take(rows).tolist() == [VECTORS[0].tolist(), [0.0] * DIMENSION, VECTORS[1].tolist()]
    assert stock.products(VECTORS[:1], rows)[0] == pytest.approx([1.0, 0.0, VECTORS[0] @ VECTORS[1]], abs=1e-6)
    assert (stock.items([1, 2])[2].id, 1 in stock.items([1, 2])) == ("b", False)


def test_the_first_space_is_of_the_kind_that_was_chosen_if_milvus_has_it(opened: Open) -> None:
    with pytest.raises(SpaceInvalid, match=r"'ivf-pq' on Milvus; take one of flat, hnsw"):
        opened(kind="ivf-pq")
    store = opened(kind="hnsw-sq8")
    store.put(ENCODER, items(*NAMES[:50]), VECTORS[:50])
    assert store.spaces()[0].kind == "hnsw-sq8"
    answer = store.retrieve(Question({"content": 1.0}, [Query("q", VECTORS[9], 1.0)], k=1), 10)
    assert [one.item.id for one in answer.found] == ["i009"]
    assert answer.found[0].said["content"].score == pytest.approx(1.0, abs=1e-6)
    assert list(store.search(Ask(VECTORS[9:10], 1)).ids[0]) == ["i009"]
