"""What every backend of the retriever promises of recommendations, uploaded spaces and search as you type."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from tests.contract.retriever_stores import DIMENSION, items, unit

from retriever.backends.protocol import Patch, Store
from retriever.errors import EmbeddingInvalid, NothingToRetrieve
from retriever.filters import AnyOf, Range, Where
from retriever.items import AttributeValue, Item
from retriever.retrieval import Answer, Question
from retriever.sources import Query
from retriever.upload import SpaceUpload
from retriever.uploaded import UploadState

ENCODER = "encoder-a"
COUNT = 24
NAMES = [f"i{at:02}" for at in range(COUNT)]
VECTORS = unit(np.random.default_rng(5), COUNT) + 0.2
VECTORS = (VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True)).astype(np.float32)
CENTRE = VECTORS.astype(np.float64).mean(axis=0)
WEIGHTS = np.random.default_rng(6).random((COUNT, COUNT))
"""Of each item's neighbours."""
SCORES = np.random.default_rng(7).random(COUNT)
"""How popular each is."""
Open = Callable[[], Store]


def uploaded(store: Store, space: str, rows: Mapping[str, Any], field: str) -> UploadState:
    upload = SpaceUpload(space)
    for name, value in rows.items():
        upload.feed(json.dumps({"id": name, field: value}).encode() + b"\n")
    return store.replace_space(space, upload.finish())


def neighbours(*names: str) -> dict[str, list[tuple[str, float]]]:
    """The lists of these items, of each other."""
    at = {name: NAMES.index(name) for name in names}
    return {name: [(other, WEIGHTS[at[name], at[other]]) for other in names if other != name] for name in names}


@pytest.fixture
def stocked(store: Store) -> Store:
    """All items with even numbers and words, of all of which both uploaded spaces say something."""
    store.put(ENCODER, [Item(name, f"Title {name}", {"even": at % 2 == 0, "at": at}) for at, name in enumerate(NAMES)], VECTORS)
    uploaded(store, "collaborative", neighbours(*NAMES), "neighbours")
    uploaded(store, "popular", dict(zip(NAMES, SCORES.tolist(), strict=True)), "score")
    return store


def query(seed: int, weight: float = 1.0) -> Query:
    return Query(f"q{seed}", unit(np.random.default_rng(seed), 1)[0], weight)


def alike() -> np.ndarray[Any, Any]:
    """Cosines of all items with all, as seen from their centre."""
    away = VECTORS - CENTRE
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    cosines: np.ndarray[Any, Any] = away @ away.T
    return cosines


def raw(queries: list[Query], liked: list[int]) -> dict[str, np.ndarray[Any, Any]]:
    """What each source must say of every item, from its definition."""
    said = {"popular": SCORES}
    if queries:
        said["content"] = VECTORS @ sum(one.weight * one.embedding for one in queries) / sum(one.weight for one in queries)
    if liked:
        said["similar"] = alike()[liked].max(axis=0)
        said["collaborative"] = (WEIGHTS * (1 - np.eye(COUNT)))[liked].sum(axis=0)
    return said


def scores_of(answer: Answer, source: str) -> dict[str, float]:
    return {one.item.id: one.said[source].score for one in answer.found}


@pytest.mark.parametrize("filtered", [False, True])
@pytest.mark.parametrize(("queries", "liked"), [([query(1)], []), ([], [3]), ([query(1), query(2, 0.3)], [3, 8, 11])])
def test_recommendations_are_the_sources_scores_standardised_weighted_and_added(
    stocked: Store, queries: list[Query], liked: list[int], filtered: bool
) -> None:
    said = raw(queries, liked)
    weights = {
        name: weight for name, weight in {"content": 1.0, "similar": 0.5, "collaborative": 0.7, "popular": 0.2}.items() if name in said
    }
    wanted = Where("even", AnyOf((True,))) if filtered else None
    names = [*(NAMES[at] for at in liked), "nobody"]
    answer = stocked.retrieve(Question(weights, queries, names, ("i20", "unheard-of"), wanted, k=50), 500)
    total = sum(weights[name] * (of - of.mean()) / of.std() for name, of in said.items())
    allowed = [at for at in range(COUNT) if at not in liked and at != 20 and (at % 2 == 0 or not filtered)]
    found = [NAMES.index(one.item.id) for one in answer.found]
    assert found == sorted(allowed, key=lambda at: -total[at])
    assert [one.score for one in answer.found] == pytest.approx(total[found], abs=2e-4)
    for name, of in said.items():
        assert [one.said[name].score for one in answer.found] == pytest.approx(of[found], abs=2e-5)
    assert (answer.searched, answer.scored, list(answer.unknown_liked)) == (len(allowed), len(allowed), ["nobody"])
    assert (answer.fingerprint, answer.found[0].item.title) == (ENCODER, f"Title {answer.found[0].item.id}")


def test_each_source_ranks_its_own_proposals_and_names_who_found_them(stocked: Store) -> None:
    weights = dict.fromkeys(("content", "similar", "collaborative", "popular"), 1.0)
    answer = stocked.retrieve(Question(weights, [query(1)], ["i03", "i08"], k=50), 5)
    said, left = raw([query(1)], [3, 8]), [at for at in range(COUNT) if at not in (3, 8)]
    for source, of in said.items():
        best = [NAMES[at] for at in sorted(left, key=lambda at: -of[at])[:5]]
        ranks = {one.item.id: one.said[source].rank for one in answer.found if one.said[source].rank}
        assert ranks == {name: rank for rank, name in enumerate(best, 1)}
    for one in answer.found:
        at = NAMES.index(one.item.id)
        assert one.said["content"].found_by == "q1"
        assert one.said["similar"].found_by == ("i03" if alike()[3, at] > alike()[8, at] else "i08")
        assert one.said["collaborative"].found_by == ("i03" if WEIGHTS[3, at] > WEIGHTS[8, at] else "i08")
        assert one.said["popular"].found_by is None


def test_vectors_can_be_uploaded_instead_of_neighbours(stocked: Store) -> None:
    vectors = np.random.default_rng(9).standard_normal((COUNT, 3))
    state = uploaded(stocked, "collaborative", {name: row.tolist() for name, row in zip(NAMES, vectors, strict=True)}, "embedding")
    assert (state.kind, state.rows, state.dimension, state.unknown) == ("vectors", COUNT, 3, 0)
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    mean = units[[2, 5]].mean(axis=0)
    answer = stocked.retrieve(Question({"collaborative": 1.0}, liked=["i02", "i05"], k=50), 500)
    expected = units @ mean / np.linalg.norm(mean)
    assert scores_of(answer, "collaborative") == pytest.approx(
        {name: expected[at] for at, name in enumerate(NAMES) if at not in (2, 5)}, abs=1e-5
    )


def test_a_liked_item_without_interactions_speaks_through_its_nearest_that_have_some(stocked: Store, lenders: int) -> None:
    uploaded(stocked, "collaborative", neighbours(*NAMES[:18]), "neighbours")
    answer = stocked.retrieve(Question({"collaborative": 1.0}, liked=["i20"], k=50), 500)
    voices = np.argsort(-alike()[20, :18])[:lenders]
    expected = (WEIGHTS * (1 - np.eye(COUNT)))[voices].mean(axis=0)
    scores = scores_of(answer, "collaborative")
    assert {name: scores[name] for name in NAMES[:18]} == pytest.approx({NAMES[at]: expected[at] for at in range(18)}, abs=1e-6)
    assert {one.said["collaborative"].found_by for one in answer.found if one.item.id < "i18"} == {"i20"}


def test_without_a_liked_item_the_items_nearest_to_the_queries_speak(stocked: Store, lenders: int) -> None:
    uploaded(stocked, "collaborative", neighbours(*NAMES[:18]), "neighbours")
    queries = [query(1), query(2, 0.3)]
    answer = stocked.retrieve(Question({"collaborative": 1.0}, queries, k=50), 500)
    voices = np.argsort(-(VECTORS[:18] @ sum(one.weight * one.embedding for one in queries)))[:lenders]
    expected = (WEIGHTS * (1 - np.eye(COUNT)))[voices].mean(axis=0)
    scores = scores_of(answer, "collaborative")
    assert {name: scores[name] for name in NAMES[:18]} == pytest.approx({NAMES[at]: expected[at] for at in range(18)}, abs=1e-6)


def test_writes_are_seen_by_the_next_recommendation(stocked: Store) -> None:
    asked = Question({"similar": 1.0, "popular": 1.0}, liked=["i00"], k=50)
    stocked.delete(["i01", "i02"])
    stocked.patch([Patch("i03", title="new", attributes={"at": 100})])
    stocked.put(ENCODER, items("new"), unit(np.random.default_rng(3), 1))
    found = {one.item.id: one for one in stocked.retrieve(asked, 500).found}
    assert found.keys() == {*NAMES[3:], "new"}
    assert found["i03"].item.title == "new"
    narrowed = stocked.retrieve(Question({"popular": 1.0}, filter=Where("at", Range(gte=50)), k=5), 500)
    assert [one.item.id for one in narrowed.found] == ["i03"]


def test_recommendations_follow_a_cut_over(stocked: Store) -> None:
    stocked.create_space("next", "encoder-b", DIMENSION + 1, "hnsw")
    stocked.put_vectors("next", "encoder-b", NAMES, unit(np.random.default_rng(8), COUNT, DIMENSION + 1))
    stocked.cut_over("next")
    with pytest.raises(EmbeddingInvalid, match="'q1' has 6 numbers, the content space has 7"):
        stocked.retrieve(Question({"content": 1.0}, [query(1)]), 500)
    answer = stocked.retrieve(Question({"similar": 1.0}, liked=["i00"], k=50), 500)
    assert (answer.fingerprint, len(answer.found)) == ("encoder-b", COUNT - 1)


def test_nothing_to_go_by_is_told(store: Store) -> None:
    with pytest.raises(NothingToRetrieve, match="catalogue is empty"):
        store.retrieve(Question({"content": 1.0}, [query(1)]), 500)
    store.put(ENCODER, items("a"), unit(np.random.default_rng(3), 1))
    with pytest.raises(NothingToRetrieve, match="0 queries, 1 known of 2 liked ids"):
        store.retrieve(Question({"content": 1.0, "popular": 1.0, "collaborative": 1.0}, liked=["a", "b"]), 500)
    store.delete(["a"])
    with pytest.raises(NothingToRetrieve):
        store.retrieve(Question({"content": 1.0}, [query(1)]), 500)


def test_an_uploaded_space_is_replaced_whole_emptied_and_counted(stocked: Store) -> None:
    state = uploaded(stocked, "popular", {"i00": 1.0, "i01": 2.0, "not-yet": 5.0}, "score")
    assert (state.name, state.kind, state.rows, state.unknown) == ("popular", "scores", 3, 1)
    assert {one.name: (one.kind, one.rows) for one in stocked.uploads()} == {
        "collaborative": ("neighbours", COUNT),
        "popular": ("scores", 3),
    }
    answer = stocked.retrieve(Question({"popular": 1.0}, k=2), 500)
    assert [one.item.id for one in answer.found] == ["i01", "i00"]
    before = stocked.generation
    assert uploaded(stocked, "popular", {}, "score").kind == "empty"
    assert stocked.generation > before
    with pytest.raises(NothingToRetrieve):
        stocked.retrieve(Question({"popular": 1.0}), 500)


def test_uploaded_spaces_outlast_a_restart(opened: Open) -> None:
    store = opened()
    assert [one.kind for one in store.uploads()] == ["empty", "empty"]
    store.put(ENCODER, items(*NAMES), VECTORS)
    uploaded(store, "popular", dict(zip(NAMES, SCORES.tolist(), strict=True)), "score")
    uploaded(store, "collaborative", neighbours(*NAMES), "neighbours")
    asked = Question({"popular": 1.0, "collaborative": 1.0}, liked=["i04"], k=50)
    before = [(one.item.id, one.score) for one in store.retrieve(asked, 500).found]
    store.close()
    again = opened()
    assert [(one.item.id, one.score) for one in again.retrieve(asked, 500).found] == before
    assert [(one.kind, one.rows) for one in again.uploads()] == [("neighbours", COUNT), ("scores", COUNT)]


def test_what_is_typed_finds_beginnings_of_words_in_titles_and_authors(store: Store) -> None:
    titles = {"1": "Dune", "2": "Dune Messiah", "3": "Children of Dune", "4": "Emma", "5": "Été 100", "6": "Undune", "7": "Dunes, die"}
    authors: dict[str, AttributeValue] = {
        "1": ("Frank Herbert",),
        "2": ("Frank Herbert",),
        "4": "Jane Austen",
        "6": ("Dune Smith", "O'Neil"),
    }
    catalogue = [Item(name, title, {"authors": authors.get(name, ())}, "text") for name, title in titles.items()]
    store.put(ENCODER, catalogue, unit(np.random.default_rng(3), len(catalogue)))

    def found(typed: str, offset: int = 0, limit: int = 10) -> list[str]:
        return [item.id for item in store.find(typed, offset, limit)]

    assert found("dune")[0] == "1", "the title that is what was typed"
    assert set(found("dune")) == {"1", "2", "3", "6", "7"}
    assert found("dune")[-1] == "6", "what has it in the author only"
    assert [found(typed) for typed in ("dune mes", "mess DU", "herb dune m", "jane", "ete", "été 1", "neil", "une")] == [
        ["2"], ["2"], ["2"], ["4"], ["5"], ["5"], ["6"], []
    ]  # fmt: skip
    assert [found(typed) for typed in ("", "  ", "%", "_une", '"', "\\", "or", "du%x")] == [[]] * 8
    assert found("dune", 1, 2) == found("dune")[1:3]
    assert store.find("emma", 0, 1) == [catalogue[3]]
    uploaded(store, "popular", {"3": 9.0, "7": 3.0, "2": 1.0}, "score")
    assert found("dune") == ["1", "3", "7", "2", "6"]
    store.patch([Patch("4", title="Dunette")])
    store.delete(["1", "2"])
    assert (found("dune"), found("emma"), found("dunet")) == (["3", "7", "4", "6"], [], ["4"])
