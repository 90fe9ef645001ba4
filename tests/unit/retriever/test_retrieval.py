"""Retrieval by hand: who lends to whom, who is named as the finder, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.retriever.definition import LENDERS, NAMES, line, unit

from retriever.errors import EmbeddingInvalid, NothingToRetrieve
from retriever.filters import Range, Where
from retriever.items import Floats, Item, Rows
from retriever.library import Library
from retriever.retrieval import Question, retrieve
from retriever.sources import Query
from retriever.spaces import Neighbours
from retriever.upload import SpaceUpload


@pytest.fixture
def stocked(tmp_path: Path) -> Any:
    """A library of all NAMES with both spaces; the last six items are cold."""
    rng = np.random.default_rng(7)
    library = Library(tmp_path / "c.sqlite3", LENDERS)
    library.put("f", [Item(name, name, {"year": at}) for at, name in enumerate(NAMES)], np.stack([unit(rng) for _ in NAMES]))
    upload = SpaceUpload("collaborative")
    for name in NAMES[:18]:
        upload.feed(line({"id": name, "neighbours": [(other, float(rng.standard_normal())) for other in NAMES[:18] if other != name]}))
    library.replace_space("collaborative", upload.finish())
    yield library
    library.close()


def vectors_of(library: Library, rows: Rows) -> Floats:
    assert library.view.content
    return library.view.content.take(rows)


def test_an_item_without_interactions_has_the_mean_score_of_its_text_nearest_items_that_have_some(stocked: Library) -> None:
    answer = retrieve(stocked.view, Question({"collaborative": 1.0}, liked=[NAMES[0]], k=50), 500)
    scores = {NAMES[0]: 0.0} | {one.item.id: one.said["collaborative"].score for one in answer.found}
    seen = dict(zip(NAMES, vectors_of(stocked, stocked.view.rows) - stocked.view.centre.mean, strict=True))
    for cold in NAMES[18:]:
        cosine = {name: float(seen[name] @ seen[cold] / np.linalg.norm(seen[name])) for name in NAMES[:18]}
        nearest = sorted(cosine, key=lambda name: -cosine[name])[:LENDERS]
        assert scores[cold] == pytest.approx(np.mean([scores[name] for name in nearest]), abs=1e-6)


def test_a_liked_item_without_interactions_speaks_through_the_same_items(stocked: Library) -> None:
    cold = NAMES[20]
    lenders = [NAMES[row - 1] for row in stocked.view.collaborative.loans.lenders_of(21)]  # type: ignore[union-attr]
    answer = retrieve(stocked.view, Question({"collaborative": 1.0}, liked=[cold], k=50), 500)
    one_by_one = [retrieve(stocked.view, Question({"collaborative": 1.0}, liked=[name], k=50), 500) for name in lenders]
    spoken = [{one.item.id: one.said["collaborative"].score for one in of.found} for of in one_by_one]
    for one in answer.found:
        if one.item.id in NAMES[:18] and one.item.id not in lenders:
            assert one.said["collaborative"].score == pytest.approx(np.mean([scores[one.item.id] for scores in spoken]), abs=1e-6)
            assert one.said["collaborative"].found_by == (cold if one.said["collaborative"].score > 0 else None)


def test_without_a_liked_item_the_items_nearest_to_the_queries_speak_in_the_collaborative_space(stocked: Library) -> None:
    near, weak = vectors_of(stocked, np.array([6, 7]))
    queries = [Query("near", near, 1.0), Query("weak", weak, 0.01)]
    answer = retrieve(stocked.view, Question({"collaborative": 1.0}, queries, k=50), 500)
    vectors = vectors_of(stocked, np.arange(1, 19))
    nearest = np.argsort(-(vectors @ (near + 0.01 * weak)))[:LENDERS]
    upload = stocked.view.collaborative.upload  # type: ignore[union-attr]
    weights = np.zeros((len(upload.ids), len(upload.ids)))
    for row in range(18):
        weights[row, upload.content.others[upload.content.of(row)]] = upload.content.weights[upload.content.of(row)]  # type: ignore[union-attr]
    for one in answer.found:
        if one.item.id in NAMES[:18]:
            expected = np.mean([weights[upload.ids.index(NAMES[row]), upload.ids.index(one.item.id)] for row in nearest])
            assert one.said["collaborative"].score == pytest.approx(expected, abs=1e-6)
            assert one.said["collaborative"].found_by == ("near" if expected > 0 else None)


def test_each_source_names_who_found_an_item(stocked: Library) -> None:
    near, far = vectors_of(stocked, np.array([6, 7]))
    queries = [Query("near", near, 1.0), Query("far", far, 0.001)]
    weights = {"content": 1.0, "similar": 1.0, "collaborative": 1.0}
    answer = retrieve(stocked.view, Question(weights, queries, liked=["i00", "i01"], k=50), 500)
    said = {one.item.id: one.said for one in answer.found}
    assert said["i05"]["content"].found_by == "near"
    assert stocked.view.collaborative
    upload = stocked.view.collaborative.upload.content
    assert isinstance(upload, Neighbours)
    given_by = {
        liked: dict(zip(upload.others[upload.of(row)], upload.weights[upload.of(row)], strict=True))
        for row, liked in ((0, "i00"), (1, "i01"))
    }
    number = {name: at for at, name in enumerate(stocked.view.collaborative.upload.ids)}
    for name in NAMES[2:18]:
        best = max(given_by, key=lambda liked: given_by[liked][number[name]])
        expected = best if given_by[best][number[name]] > 0 else None
        assert said[name]["collaborative"].found_by == expected
    vectors = stocked.view.centred.seen(stocked.view.rows)
    for at, name in enumerate(NAMES[2:], 2):
        assert said[name]["similar"].found_by == ("i00" if vectors[0] @ vectors[at] > vectors[1] @ vectors[at] else "i01")


def test_equal_scores_come_in_the_order_of_the_ids(tmp_path: Path) -> None:
    library = Library(tmp_path / "c", LENDERS)
    names = ["c", "a", "d", "b"]
    library.put("f", [Item(name, name) for name in names], np.array([[1.0, 0.0]] * 4))
    answer = retrieve(library.view, Question({"content": 1.0}, [Query("q", np.array([0.6, 0.8], np.float32), 1.0)], k=3), 500)
    assert [(one.item.id, one.score) for one in answer.found] == [("a", 0.0), ("b", 0.0), ("c", 0.0)]
    library.close()


def test_a_query_of_another_dimension_is_refused(stocked: Library) -> None:
    with pytest.raises(EmbeddingInvalid, match=r"has 3 numbers, the content space has 5"):
        retrieve(stocked.view, Question({"content": 1.0}, [Query("q", np.ones(3, np.float32), 1.0)]), 500)


def test_nothing_to_go_by_says_what_to_send(stocked: Library, tmp_path: Path) -> None:
    with pytest.raises(NothingToRetrieve, match="weight for content with queries, for similar or collaborative with known ids in liked"):
        retrieve(stocked.view, Question({"content": 1.0, "similar": 1.0}, liked=["unheard-of"]), 500)
    with pytest.raises(NothingToRetrieve, match="0 queries, 1 known of 1 liked ids"):
        retrieve(stocked.view, Question({"content": 1.0}, liked=["i00"]), 500)


def test_a_filter_that_nothing_passes_gives_an_empty_answer(stocked: Library) -> None:
    answer = retrieve(stocked.view, Question({"similar": 1.0}, liked=["i00"], filter=Where("year", Range(5_000, None))), 500)
    assert (answer.found, answer.searched, answer.scored) == ([], 0, 0)
