"""What every backend of the retriever promises, one claim a test, over each of them."""

import itertools
import multiprocessing
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.contract.retriever_stores import DIMENSION, counted, found, items, unit

from retriever.backends.milvus import Milvus
from retriever.backends.protocol import CONTENT, FIRST_SPACE, Ask, Backend, Patch
from retriever.errors import (
    EmbeddingInvalid,
    GenerationNotReached,
    ItemTooLarge,
    ItemUnknown,
    SpaceUnknown,
)
from retriever.filters import AnyOf, Where
from retriever.items import Item

FIRST, SECOND = "encoder-a", "encoder-b"
Open = Callable[[], Backend]
rng = np.random.default_rng(7)


def test_what_was_put_is_found_by_the_next_search(store: Backend) -> None:
    vectors = unit(rng, 30)
    for at in range(30):
        store.put(FIRST, items(f"i{at}"), vectors[at : at + 1])
        assert found(store, vectors[at], n=1) == [f"i{at}"]


def test_a_unit_vector_is_stored_bit_by_bit_and_another_length_is_put_right(store: Backend) -> None:
    vectors = unit(rng, 200)
    names = [f"i{at}" for at in range(200)]
    store.put(FIRST, items(*names), vectors)
    assert (store.vectors(CONTENT, names) == vectors).all()
    store.put(FIRST, items(*names), vectors * np.float32(1.0005))
    assert np.allclose(np.linalg.norm(store.vectors(CONTENT, names).astype(float), axis=1), 1.0, atol=2e-7)


def test_an_item_comes_back_as_it_was_put(store: Backend) -> None:
    item = Item(
        "Ü'\"\\-1", 'A "title"', {"year": 1999, "share": 0.5, "new": True, "tags": ("a", "b"), "none": (), "big": 2**60}, "x" * 20_000
    )
    store.put(FIRST, [item], unit(rng, 1))
    assert store.item(item.id) == item
    assert type(store.item(item.id).attributes["year"]) is int  # type: ignore[union-attr]
    assert store.items([item.id, "nobody"]) == {item.id: Item(item.id, item.title, item.attributes)}
    assert store.item("nobody") is None


def test_no_text_and_an_empty_text_stay_apart(store: Backend) -> None:
    store.put(FIRST, [Item("none", "t"), Item("empty", "t", text="")], unit(rng, 2))
    assert (store.item("none").text, store.item("empty").text) == (None, "")  # type: ignore[union-attr]


def test_of_an_id_that_comes_twice_in_a_put_the_last_wins(store: Backend) -> None:
    vectors = unit(rng, 3)
    written = store.put(FIRST, [Item("a", "old"), Item("b", "b"), Item("a", "new")], vectors)
    assert (written.created, written.replaced, written.duplicates) == (2, 0, 1)
    assert store.item("a").title == "new"  # type: ignore[union-attr]
    assert np.allclose(store.vectors(CONTENT, ["a"]), vectors[2:], atol=1e-6)
    assert sorted(found(store, vectors[0])) == ["a", "b"]


def test_a_put_says_what_is_new_and_can_be_sent_again(store: Backend) -> None:
    vectors = unit(rng, 2)
    store.put(FIRST, items("a"), vectors[:1])
    for created, replaced in ((1, 1), (0, 2)):
        written = store.put(FIRST, items("a", "b"), vectors)
        assert (written.created, written.replaced, written.duplicates) == (created, replaced, 0)
    assert len(store) == 2


def test_a_replaced_item_is_found_by_its_new_vector_only(store: Backend) -> None:
    vectors = unit(rng, 3)
    store.put(FIRST, items("a", "b"), vectors[:2])
    store.put(FIRST, items("a"), vectors[2:])
    hits = store.search(Ask(vectors, 2))
    assert [sorted(ids) for ids in hits.ids] == [["a", "b"]] * 3
    assert dict(zip(hits.ids[0], hits.scores[0], strict=True))["a"] == pytest.approx(vectors[0] @ vectors[2], abs=1e-5)


def test_a_deleted_item_is_never_found(store: Backend) -> None:
    vectors = unit(rng, 20)
    store.put(FIRST, items(*(f"i{at}" for at in range(20))), vectors)
    written = store.delete(["i3", "i4", "nobody", "i3"])
    assert (written.changed, written.unknown) == (2, ("nobody",))
    for at in (3, 4):
        assert {"i3", "i4"}.isdisjoint(found(store, vectors[at], n=20))
    assert (len(store), store.item("i3")) == (18, None)
    assert np.isnan(store.vectors(CONTENT, ["i3"])).all()


def test_a_deleted_item_can_come_again(store: Backend) -> None:
    vectors = unit(rng, 2)
    store.put(FIRST, items("a"), vectors[:1])
    store.delete(["a"])
    assert store.put(FIRST, items("a"), vectors[1:]).created == 1
    assert np.allclose(store.vectors(CONTENT, ["a"]), vectors[1:], atol=1e-6)


def test_a_patch_changes_what_filters_find_and_keeps_the_vector(store: Backend) -> None:
    vectors = unit(rng, 2)
    store.put(FIRST, items("a", "b", lang="de", kind="book"), vectors)
    written = store.patch([Patch("a", attributes={"lang": "fr"})])
    assert written.changed == 1

    def having(lang: str) -> list[str]:
        return list(store.search(Ask(vectors[:1], 5, filter=Where("lang", AnyOf((lang,))))).ids[0])

    assert (having("fr"), having("de")) == (["a"], ["b"])
    assert store.item("a") == Item("a", "title of a", {"lang": "fr", "kind": "book"}, "text of a")
    assert np.allclose(store.vectors(CONTENT, ["a"]), vectors[:1], atol=1e-6)


def test_a_patch_is_a_merge_patch(store: Backend) -> None:
    store.put(FIRST, items("a", lang="de", kind="book"), unit(rng, 1))
    store.patch([Patch("a", title="new", attributes={"lang": None, "year": 5}), Patch("a", drop_text=True)])
    assert store.item("a") == Item("a", "new", {"kind": "book", "year": 5})
    store.patch([Patch("a", text="", clear_attributes=True, attributes={"year": 6})])
    assert store.item("a") == Item("a", "new", {"year": 6}, "")


def test_a_patch_of_an_unknown_item_patches_nothing(store: Backend) -> None:
    store.put(FIRST, items("a"), unit(rng, 1))
    with pytest.raises(ItemUnknown, match="nobody"):
        store.patch([Patch("a", title="new"), Patch("nobody", title="new")])
    assert store.item("a").title == "title of a"  # type: ignore[union-attr]


def test_a_patch_beyond_the_limit_of_attributes_is_refused_by_name_and_nothing_patched(store: Backend) -> None:
    store.put(FIRST, [Item("full", "t", {f"a{at}": at for at in range(62)}), *items("b")], unit(rng, 2))
    store.patch([Patch("full", attributes={"new-1": 1, "new-2": 1})])
    with pytest.raises(ItemTooLarge, match=r"'full'.* 65 attributes.*64"):
        store.patch([Patch("b", title="new"), Patch("full", attributes={"new-3": 1})])
    assert store.item("b").title == "title of b"  # type: ignore[union-attr]
    store.patch([Patch("full", attributes={"new-3": 1, "a0": None})])
    assert len(store.item("full").attributes) == 64  # type: ignore[union-attr]


def test_excluded_ids_never_come_and_unknown_ones_do_not_matter(store: Backend) -> None:
    vectors = unit(rng, 30)
    store.put(FIRST, items(*(f"i{at}" for at in range(30))), vectors)
    exclude = {f"i{at}" for at in range(25)} | {f"unknown-{at}" for at in range(3_000)} | {"it's", 'a"b\\'}
    hits = store.search(Ask(vectors[:2], 10, exclude=exclude))
    assert [sorted(ids) for ids in hits.ids] == [["i25", "i26", "i27", "i28", "i29"]] * 2


def test_scores_are_cosines_best_first(store: Backend) -> None:
    vectors, queries = unit(rng, 40), unit(rng, 3)
    store.put(FIRST, items(*(f"i{at}" for at in range(40))), vectors * np.float32(1.0005))
    hits = store.search(Ask(queries, 40, exact=True))
    for query, ids, scores in zip(queries, hits.ids, hits.scores, strict=True):
        assert scores.dtype == np.float32
        assert (np.diff(scores) <= 0).all()
        expected = {f"i{at}": cosine for at, cosine in enumerate(vectors @ query)}
        assert dict(zip(ids, scores.tolist(), strict=True)) == pytest.approx(expected, abs=1e-5)


def test_a_wrong_dimension_or_length_is_refused_and_nothing_stored(store: Backend) -> None:
    store.put(FIRST, items("a"), unit(rng, 1))
    with pytest.raises(EmbeddingInvalid, match=r"'b'.*7 .*6"):
        store.put(FIRST, items("b"), unit(rng, 1, DIMENSION + 1))
    for length in (0.5, np.nan, np.inf):
        with pytest.raises(EmbeddingInvalid, match="'c'"):
            store.put(FIRST, items("b", "c"), unit(rng, 2) * np.array([[1], [length]], np.float32))
    with pytest.raises(EmbeddingInvalid, match=r"5 .*6"):
        store.search(Ask(unit(rng, 1, 5), 1))
    assert (len(store), store.item("b")) == (1, None)


def test_pages_are_complete_and_in_the_order_of_ids_by_code_point(store: Backend) -> None:
    names = sorted([*(f"i{at}" for at in range(50)), "I1", "é", "z\U0001f600", "z\uffff", "~", '"', "'", "\\", "10", "9"])
    store.put(FIRST, items(*reversed(names)), unit(rng, len(names)))
    pages: list[list[str]] = [[""]]
    while page := [item.id for item in store.after(pages[-1][-1], 7)]:
        pages.append(page)
    assert [name for page in pages[1:] for name in page] == names
    assert all(len(page) == 7 for page in pages[1:-1])
    assert store.after("i1", 1)[0].text is not None


def test_each_write_raises_the_generation_and_a_search_tells_it(store: Backend) -> None:
    seen = [store.generation]
    assert seen == [0]
    seen.append(store.put(FIRST, items("a", "b"), unit(rng, 2)).generation)
    store.create_space("next", SECOND, DIMENSION, "hnsw")
    seen.append(store.generation)
    seen.append(store.put_vectors("next", SECOND, ["a", "b"], unit(rng, 2)).generation)
    seen.append(store.patch([Patch("a", title="new")]).generation)
    seen.append(store.cut_over("next"))
    seen.append(store.delete(["b"]).generation)
    assert all(before < after for before, after in itertools.pairwise(seen))
    assert store.search(Ask(unit(rng, 1), 1, min_generation=seen[-1])).generation == store.generation == seen[-1]


def test_a_generation_that_is_not_reached_is_told(store: Backend) -> None:
    generation = store.put(FIRST, items("a"), unit(rng, 1)).generation
    with pytest.raises(GenerationNotReached) as refused:
        store.search(Ask(unit(rng, 1), 1, min_generation=generation + 1))
    assert refused.value.generation == generation


def test_an_empty_store_answers_without_hits(store: Backend) -> None:
    hits = store.search(Ask(unit(rng, 2), 3))
    assert [list(ids) for ids in hits.ids] == [[], []]
    assert (len(store), store.spaces(), store.space(), store.after("", 5), hits.generation) == (0, [], None, [], 0)
    store.check()
    assert store.delete(["a"]).unknown == ("a",)
    with pytest.raises(SpaceUnknown):
        store.vectors(CONTENT, ["a"])


def test_what_is_sealed_and_merged_is_found_as_before(store: Backend) -> None:
    vectors, names = unit(rng, 900), [f"i{at}" for at in range(900)]
    for start in (0, 300, 600):
        store.put(FIRST, items(*names[start : start + 300], half=str(start >= 300)), vectors[start : start + 300])
        store.merge(CONTENT)
    store.delete(names[::9])
    store.patch([Patch(name, attributes={"half": "patched"}) for name in names[1::9]])
    store.put(FIRST, items(*names[2::9], half="again"), -vectors[2::9])
    now = vectors.copy()
    now[2::9] *= -1
    for half, allowed in (("True", range(300, 900)), ("patched", range(1, 900, 9)), ("again", range(2, 900, 9))):
        expected = {names[at] for at in allowed if half in ("patched", "again") or at % 9 > 2}
        hits = store.search(Ask(vectors[:3], len(expected) + 5, filter=Where("half", AnyOf((half,)))))
        assert [set(ids) for ids in hits.ids] == [expected] * 3
        exact = store.search(Ask(vectors[:1], 20, filter=Where("half", AnyOf((half,))), exact=True))
        best = sorted((-float(now[at] @ vectors[0]), names[at]) for at in allowed if names[at] in expected)
        assert list(exact.ids[0]) == [name for _, name in best[:20]]


def test_a_deadline_stops_a_search(store: Backend) -> None:
    class Late(Exception):
        pass

    def late() -> None:
        raise Late

    store.put(FIRST, items(*(f"i{at}" for at in range(50))), unit(rng, 50))
    with pytest.raises(Late):
        store.search(Ask(unit(rng, 1), 5, deadline=late))


def test_a_closed_store_opens_again_with_all_it_had(opened: Open) -> None:
    vectors = unit(rng, 5)
    store = opened()
    store.put(FIRST, items("a", "b", "c", "d", "e"), vectors)
    store.create_space("next", SECOND, DIMENSION, "hnsw")
    store.cut_over("next", allow_missing=True)
    store.delete(["b"])
    before = (store.generation, counted(store), store.after("", 9))
    store.close()
    again = opened()
    assert (again.generation, counted(again), again.after("", 9)) == before
    assert found(again, vectors[2], FIRST_SPACE, n=1) == ["c"]
    assert np.allclose(again.vectors(FIRST_SPACE, ["e"]), vectors[4:], atol=1e-6)
    again.check()


def _write(path: str) -> None:
    store = Milvus(path)
    store.put(FIRST, items("a", "b"), np.eye(2, DIMENSION, dtype=np.float32))
    store.delete(["b"])
    store.close()


def test_another_process_finds_what_one_wrote(tmp_path: Path) -> None:
    path = str(tmp_path / "lite.db")
    writer = multiprocessing.get_context("spawn").Process(target=_write, args=(path,))
    writer.start()
    writer.join()
    assert writer.exitcode == 0
    store = Milvus(path)
    assert (found(store, np.eye(1, DIMENSION, dtype=np.float32)[0]), len(store)) == (["a"], 1)
    store.close()
