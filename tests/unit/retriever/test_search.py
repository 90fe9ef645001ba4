import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes.memory_backend import MemoryBackend

from retriever.errors import DeadlineMissed, EmbeddingInvalid, FingerprintMismatch, NothingToRetrieve, SearchInvalid, SpaceUnknown
from retriever.filters import Range, Where, meets
from retriever.inquiry import Diversity, Fusion, Grouping, Inquiry, Outcome, Search
from retriever.items import Floats, Item
from retriever.rankfusion import min_max, reciprocal_ranks
from retriever.search import search
from servicekit.deadline import Deadline

ITEMS = 60
AUTHORS = 9


def vectors(seed: int, count: int = ITEMS, dimension: int = 6) -> Floats:
    drawn = np.random.default_rng(seed).standard_normal((count, dimension))
    made: Floats = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
    return made


def item(at: int) -> Item:
    return Item(f"i{at:02}", f"Title {at}", {"author": f"a{at % AUTHORS}", "year": at} if at % 5 else {"year": at})


def stocked(seed: int = 0) -> MemoryBackend:
    store = MemoryBackend()
    store.put("f", [item(at) for at in range(ITEMS)], vectors(seed))
    store.create_space("other", "g", 3, "hnsw")
    store.put_vectors("other", "g", [f"i{at:02}" for at in range(0, ITEMS, 2)], vectors(seed + 1, ITEMS // 2, 3))
    return store


def ids(outcome: Outcome, place: int = 0) -> list[str]:
    return [hit.id for hit in outcome.results[place].hits]


def test_rows_of_one_matrix_answer_as_if_they_were_asked_alone() -> None:
    store, asked = stocked(), vectors(7, 4)
    together = search(store, Inquiry({"x": Search(asked)}, 5))
    assert [(result.search, result.row) for result in together.results] == [("x", row) for row in range(4)]
    for row in range(4):
        assert search(store, Inquiry({"x": Search(asked[row : row + 1])}, 5)).results[0].hits == together.results[row].hits


def test_a_flat_matrix_is_cut_by_the_dimension_of_its_space() -> None:
    store, asked = stocked(), vectors(7, 4)
    flat = search(store, Inquiry({"x": Search(3 * asked.reshape(-1))}, 5))
    assert [ids(flat, row) for row in range(4)] == [ids(search(store, Inquiry({"x": Search(asked)}, 5)), row) for row in range(4)]


def test_examples_lead_to_what_is_like_them_and_do_not_come_back() -> None:
    store = stocked()
    outcome = search(store, Inquiry({"x": Search(positive=["i01", "i02", "never"], negative=["i03"])}, ITEMS))
    assert outcome.unknown == ("never",)
    assert {*ids(outcome)} == {f"i{at:02}" for at in range(ITEMS)} - {"i01", "i02", "i03"}
    known = vectors(0)
    query = known[1:3].mean(axis=0) - known[3]
    best = max((at for at in range(ITEMS) if at not in (1, 2, 3)), key=lambda at: float(query @ known[at]))
    assert ids(outcome)[0] == f"i{best:02}"


def test_examples_stay_out_of_their_own_search_only_unless_it_is_fused() -> None:
    store = stocked()
    searches = {"like": Search(positive=["i01"]), "near": Search(vectors(0)[1:2])}
    assert ids(search(store, Inquiry(searches, 3)), 1)[0] == "i01"
    fused = search(store, Inquiry(searches, ITEMS, fusion=Fusion(min_max, ITEMS)))
    assert "i01" not in ids(fused)


def test_examples_of_which_none_is_known_are_nothing_to_go_by() -> None:
    with pytest.raises(NothingToRetrieve, match="'never'"):
        search(stocked(), Inquiry({"x": Search(positive=["never"])}, 3))
    with pytest.raises(NothingToRetrieve, match="'i01'"):
        search(stocked(), Inquiry({"x": Search(positive=["i01"], space="other")}, 3))  # which has the even ones only


def test_fusion_keeps_what_each_search_gave() -> None:
    store = stocked()
    searches = {"text": Search(vectors(7, 2)), "taste": Search(positive=["i04"], space="other", weight=2)}
    outcome = search(store, Inquiry(searches, 10, fusion=Fusion(reciprocal_ranks(60), 20)))
    assert [(result.search, result.row) for result in outcome.results] == [(None, 0), (None, 1)]
    alone = search(store, Inquiry(searches, 20, exclude=["i04"])).results
    for row in range(2):
        lists = {"text": [hit.id for hit in alone[row].hits], "taste": [hit.id for hit in alone[2].hits]}
        for hit in outcome.results[row].hits:
            assert hit.contributions is not None
            assert {name: one.rank for name, one in hit.contributions.items()} == {
                name: of.index(hit.id) + 1 for name, of in lists.items() if hit.id in of
            }
            expected = sum({"text": 1, "taste": 2}[name] / (60 + one.rank) for name, one in hit.contributions.items())
            assert hit.score == pytest.approx(expected)


@given(st.integers(0, 1_000), st.integers(1, 4), st.integers(1, 25), st.booleans())
def test_groups_are_filled_as_from_one_endless_list(seed: int, limit: int, k: int, filtered: bool) -> None:
    store, query = stocked(seed), vectors(seed + 2, 1)
    wanted = Where("year", Range(gte=20)) if filtered else None
    endless = search(store, Inquiry({"x": Search(query)}, ITEMS, wanted, exclude=["i55"])).results[0].hits
    sizes: dict[object, int] = {}
    expected = []
    for hit in endless:
        attributes = item(int(hit.id[1:])).attributes
        assert wanted is None or meets(wanted, hit.id, attributes)
        if (author := attributes.get("author")) is None or sizes.get(author, 0) < limit:
            sizes[author] = sizes.get(author, 0) + 1
            expected.append(hit.id)
    grouping = Grouping("author", limit)
    assert ids(search(store, Inquiry({"x": Search(query)}, k, wanted, exclude=["i55"], grouping=grouping))) == expected[:k]


def test_fused_hits_are_grouped_too() -> None:
    searches = {"x": Search(vectors(7, 1)), "y": Search(vectors(8, 1))}
    outcome = search(stocked(), Inquiry(searches, 8, fusion=Fusion(min_max, 20), grouping=Grouping("author", 1)))
    authors = [item(int(name[1:])).attributes.get("author") for name in ids(outcome)]
    named = [author for author in authors if author]
    assert len(authors) == 8
    assert len(named) == len(set(named))


def test_diversity_picks_from_the_pool_what_is_unlike() -> None:
    store = MemoryBackend()
    store.put("f", [Item("a", "a"), Item("twin", "t"), Item("b", "b")], np.array([[1, 0], [1, 0], [0.6, 0.8]], np.float32))
    query = np.array([[1, 0]], np.float32)
    assert ids(search(store, Inquiry({"x": Search(query)}, 2))) == ["a", "twin"]
    assert ids(search(store, Inquiry({"x": Search(query)}, 2, diversity=Diversity(0.3, 3)))) == ["a", "b"]
    assert ids(search(store, Inquiry({"x": Search(query)}, 2, diversity=Diversity(0.3, 2)))) == ["a", "twin"]


def test_a_fingerprint_of_another_encoder_is_refused_with_both_names() -> None:
    inquiry = Inquiry({"x": Search(vectors(7, 1)), "y": Search(vectors(7, 1, 3), space="other")}, 3, fingerprint="f")
    with pytest.raises(FingerprintMismatch, match=r"'f'.*'other' has 'g'"):
        search(stocked(), inquiry)


@pytest.mark.parametrize("bad", [np.zeros((1, 6)), np.full((1, 6), np.nan), np.full((1, 6), np.inf), np.ones((1, 5)), np.ones(7)])
def test_an_embedding_without_direction_or_of_another_dimension_is_refused(bad: Floats) -> None:
    with pytest.raises(EmbeddingInvalid, match="he search 'x'"):
        search(stocked(), Inquiry({"x": Search(bad.astype(np.float32))}, 3))


def test_parts_that_do_not_fit_together_are_refused() -> None:
    store = stocked()
    searches = {"x": Search(vectors(7, 2)), "y": Search(vectors(8, 3))}
    with pytest.raises(SearchInvalid, match="'x' has 2 embeddings, another one 3"):
        search(store, Inquiry(searches, 3, fusion=Fusion(min_max, 3)))
    with pytest.raises(SearchInvalid, match="group by an attribute"):
        search(store, Inquiry(searches, 3, grouping=Grouping("id", 1)))
    with pytest.raises(SearchInvalid, match="may be more than 100,000 hits"):
        search(store, Inquiry({"x": Search(vectors(7, 101))}, 1_000))
    with pytest.raises(SpaceUnknown):
        search(store, Inquiry({"x": Search(vectors(7, 2), space="never")}, 3))


def test_a_missed_deadline_names_the_stage() -> None:
    store = stocked()
    with pytest.raises(DeadlineMissed, match="'queue'"):
        search(store, Inquiry({"x": Search(vectors(7, 1))}, 3, deadline=Deadline.after_ms(0)))
    store.slow = lambda: time.sleep(0.03)
    with pytest.raises(DeadlineMissed, match="'search'"):
        search(store, Inquiry({"x": Search(vectors(7, 1))}, 3, deadline=Deadline.after_ms(20)))


def test_an_empty_store_finds_nothing() -> None:
    outcome = search(MemoryBackend(), Inquiry({"x": Search(vectors(7, 2)), "y": Search(vectors(7, 1).reshape(-1))}, 3))
    assert [result.hits for result in outcome.results] == [[], [], []]
    assert outcome.generation == 0


def test_two_spaces_can_not_be_mixed_by_a_cut_over_in_between() -> None:
    store = stocked()
    search(store, Inquiry({"x": Search(vectors(7, 1))}, 3))
    assert store.asked[-1].space == "content-1"
