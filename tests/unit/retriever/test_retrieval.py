"""Retrieval against a brute-force model that is written from the definition and shares no code with it."""

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from numpy.typing import NDArray

from retriever.builder import do
from retriever.errors import EmbeddingInvalid, NothingToRetrieve
from retriever.filters import AnyOf, Condition, NoneOf, Range, Where, meets
from retriever.items import Floats, Item, Rows
from retriever.library import Library
from retriever.retrieval import Question, retrieve
from retriever.sources import Query
from retriever.spaces import Neighbours
from retriever.upload import SpaceUpload

DIM, LENDERS = 5, 3
GENRES = ("poetry", "crime", "space")
NAMES = [f"i{number:02}" for number in range(24)]


@dataclass
class Model:
    """The definition of the service, in dictionaries; `items` is in the order of arrival."""

    items: dict[str, tuple[dict[str, Any], NDArray[np.float64]]] = field(default_factory=dict)
    neighbours: dict[str, dict[str, float]] = field(default_factory=dict)
    vectors: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)
    centre: NDArray[np.float64] = field(default_factory=lambda: np.zeros(DIM))

    def put(self, name: str, attributes: dict[str, Any], embedding: NDArray[np.float64]) -> None:
        self.items[name] = (attributes, embedding / np.linalg.norm(embedding))

    def vector(self, name: str) -> NDArray[np.float64]:
        return self.items[name][1]

    def allowed(self, question: Question) -> list[str]:
        gone = {*question.liked, *question.exclude}
        wanted = question.filter
        return [
            name for name, (attributes, _) in self.items.items() if name not in gone and (not wanted or meets(wanted, name, attributes))
        ]

    def alike(self, one: str, other: str) -> float:
        """Cosine of two items as seen from the centre."""
        first, second = self.vector(one) - self.centre, self.vector(other) - self.centre
        lengths = np.linalg.norm(first) * np.linalg.norm(second)
        return float(first @ second / lengths) if lengths > 1e-6 else 0.0

    def warm(self) -> list[str]:
        named = {other for row in self.neighbours.values() for other in row} | {name for name, row in self.neighbours.items() if row}
        return [name for name in self.items if name in self.vectors or name in named]

    def lenders(self, name: str) -> list[str]:
        """The warm items that stand in for a cold one, in the order of arrival; a warm one stands for itself."""
        warm = self.warm()
        nearest = sorted(warm, key=lambda other: -self.alike(name, other))[:LENDERS]
        return [name] if name in warm else [other for other in warm if other in nearest]

    def voices(self, question: Question) -> list[list[str]]:
        """Who speaks in the collaborative space, with equal shares within a voice."""
        liked = [name for name in dict.fromkeys(question.liked) if name in self.items]
        if heard := [lenders for name in liked if (lenders := self.lenders(name))]:
            return heard
        mean = sum((query.weight * query.embedding.astype(np.float64) for query in question.queries), np.zeros(DIM))
        nearest = sorted(self.warm(), key=lambda name: -float(mean @ self.vector(name)))[:LENDERS]
        return [nearest] if question.queries and nearest else []

    def collaborative(self, voices: list[list[str]]) -> dict[str, float]:
        own: dict[str, float] = {}
        if self.vectors:
            unit_of = {name: vector / np.linalg.norm(vector) for name, vector in self.vectors.items()}
            mean = np.mean([np.mean([unit_of[name] for name in voice], axis=0) for voice in voices], axis=0)
            own = {name: float(mean @ unit_of[name] / np.linalg.norm(mean)) for name in unit_of}
        else:
            for name in self.warm():
                own[name] = sum(float(np.mean([self.neighbours.get(one, {}).get(name, 0.0) for one in voice])) for voice in voices)
        return {name: float(np.mean([own[one] for one in lenders])) if (lenders := self.lenders(name)) else 0.0 for name in self.items}

    def popular(self) -> dict[str, float]:
        lowest = min(self.scores.values())
        own = {name: self.scores.get(name, lowest) for name in self.items}
        return {
            name: float(np.mean([own[one] for one in lenders]))
            if name not in self.scores and (lenders := self.lenders(name))
            else own[name]
            for name in self.items
        }

    def raw(self, question: Question) -> dict[str, dict[str, float]]:
        liked = [name for name in dict.fromkeys(question.liked) if name in self.items]
        raw: dict[str, dict[str, float]] = {}
        if question.queries and self.items:
            total = sum(query.weight for query in question.queries)
            raw["content"] = {
                name: sum(query.weight * float(query.embedding @ self.vector(name)) for query in question.queries) / total
                for name in self.items
            }
        if liked:
            raw["similar"] = {name: max(self.alike(one, name) for one in liked) for name in self.items}
        if voices := self.voices(question):
            raw["collaborative"] = self.collaborative(voices)
        if self.scores and self.items:
            raw["popular"] = self.popular()
        return {name: scores for name, scores in raw.items() if question.weights.get(name, 0) > 0}

    def rounding_decides(self, question: Question) -> bool:
        """Whether the order of two items is a matter of rounding, such as when both speak with vectors: each is as near to their mean."""
        for source, scores in self.raw(question).items():
            gaps = np.diff(sorted(scores[name] for name in self.allowed(question)))
            least = -1.0 if source == "collaborative" and self.vectors else 0.0
            if ((gaps > least) & (gaps < 1e-6)).any():
                return True
        return False

    def answer(self, question: Question, proposals: int) -> tuple[list[str], dict[str, float], dict[str, dict[str, int]]]:
        """The ids, the fused score of every item, and the ranks in each source's own list."""
        allowed, raw = self.allowed(question), self.raw(question)
        fused, pool, ranks = dict.fromkeys(self.items, 0.0), set(), {}
        for source, scores in raw.items():
            values = np.array(list(scores.values()))
            std = values.std()
            for name in self.items:
                fused[name] += question.weights[source] * (scores[name] - values.mean()) / std if std > 1e-6 else 0.0
            top = sorted(allowed, key=lambda name: -scores[name])[:proposals]
            pool |= set(top)
            ranks[source] = {name: rank for rank, name in enumerate(top, 1)}
        if "content" in raw:
            for query in question.queries:
                pool |= set(sorted(allowed, key=lambda name: -float(query.embedding @ self.vector(name)))[:proposals])
        candidates = allowed if len(allowed) <= proposals else list(pool)
        return sorted(candidates, key=lambda name: (-fused[name], name))[: question.k], fused, ranks


def unit(rng: np.random.Generator) -> NDArray[np.float64]:
    vector = rng.standard_normal(DIM) + 0.5
    return vector / np.linalg.norm(vector)


@st.composite
def questions(draw: st.DrawFn) -> Question:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    names = st.lists(st.sampled_from([*NAMES, "unheard-of"]), max_size=4).map(tuple)
    conditions: dict[str, st.SearchStrategy[Condition]] = {
        "genres": st.sampled_from([AnyOf(("poetry",)), AnyOf(("crime", "space")), NoneOf(("poetry", "crime"))]),
        "year": st.sampled_from([Range(1990, None), Range(None, 2000), Range(1980, 1999.5), AnyOf((1990, 1991.0)), NoneOf((1990,))]),
        "read": st.sampled_from([AnyOf((True,)), AnyOf((False,)), NoneOf((True,))]),
        "id": st.sampled_from([AnyOf(tuple(NAMES[:12])), NoneOf(tuple(NAMES[6:])), Range(0, 1)]),
        "nothing_has_this": st.sampled_from([AnyOf(("x", 1)), NoneOf(("x",)), Range(0, None)]),
    }
    chosen = draw(st.lists(st.sampled_from(sorted(conditions)), max_size=1, unique=True))
    weight = st.sampled_from([0.0, 0.3, 1.0])
    return Question(
        weights={name: draw(weight) for name in ("content", "similar", "collaborative", "popular")},
        queries=[Query(f"q{at}", unit(rng).astype(np.float32), 0.5 + rng.random()) for at in range(draw(st.integers(0, 3)))],
        liked=draw(names),
        exclude=draw(names),
        filter=next((Where(name, draw(conditions[name])) for name in chosen), None),
        k=draw(st.sampled_from([1, 4, 50])),
    )


def check(library: Library, model: Model, question: Question, proposals: int) -> None:
    model.centre = library.view.centre.mean
    if not model.raw(question):
        with pytest.raises(NothingToRetrieve):
            retrieve(library.view, question, proposals)
        return
    answer = retrieve(library.view, question, proposals)
    if model.rounding_decides(question):
        return
    ids, fused, ranks = model.answer(question, proposals)
    found = [one.item.id for one in answer.found]
    assert [fused[name] for name in found] == pytest.approx([fused[name] for name in ids], abs=2e-4)
    assert [one.score for one in answer.found] == pytest.approx([fused[name] for name in found], abs=2e-4)
    assert len(set(found)) == len(found)
    assert answer.searched == len(model.allowed(question))
    assert list(answer.unknown_liked) == [name for name in dict.fromkeys(question.liked) if name not in model.items]
    for one in answer.found:
        assert one.item.attributes == model.items[one.item.id][0]
        assert {source: said.rank for source, said in one.said.items()} == {source: of.get(one.item.id) for source, of in ranks.items()}
        for source, said in one.said.items():
            assert said.score == pytest.approx(model.raw(question)[source][one.item.id], abs=2e-5)


def line(row: dict[str, Any]) -> bytes:
    import json

    return json.dumps(row).encode() + b"\n"


class Service(RuleBasedStateMachine):
    """Random writes, searches and restarts; every answer is the model's."""

    @initialize()
    def start(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.library, self.model = Library(self.folder / "c.sqlite3", LENDERS), Model()

    @rule(names=st.lists(st.sampled_from(NAMES), min_size=1, max_size=12), seed=st.integers(0, 2**32))
    def upsert(self, names: list[str], seed: int) -> None:
        rng = np.random.default_rng(seed)
        rows = []
        for name in names:
            attributes: dict[str, Any] = {"genres": tuple(rng.choice(GENRES, rng.integers(0, 3), replace=False).tolist())}
            attributes |= {"year": int(rng.integers(1985, 2005))} if rng.random() < 0.8 else {}
            attributes |= {"read": bool(rng.random() < 0.5)} if rng.random() < 0.8 else {}
            rows.append((Item(name, name.upper(), attributes, "a text"), unit(rng)))
        new = len(set(names) - self.model.items.keys())
        written = self.library.put("f", [row[0] for row in rows], np.stack([row[1] for row in rows]))
        assert (written.created, written.replaced, written.duplicates) == (new, len(set(names)) - new, len(names) - len(set(names)))
        for item, embedding in rows:
            self.model.put(item.id, dict(item.attributes), embedding)

    @rule(name=st.sampled_from(NAMES))
    def delete(self, name: str) -> None:
        if self.model.items.pop(name, None) is None:
            assert self.library.delete([name]).unknown == (name,)
        else:
            assert self.library.delete([name]).changed == 1

    @rule(seed=st.integers(0, 2**32), kind=st.sampled_from(["neighbours", "embedding", "nothing"]), rows=st.integers(1, len(NAMES)))
    def replace_collaborative(self, seed: int, kind: str, rows: int) -> None:
        rng = np.random.default_rng(seed)
        upload, self.model.neighbours, self.model.vectors = SpaceUpload("collaborative"), {}, {}
        for name in rng.choice(NAMES, rows, replace=False).tolist() if kind != "nothing" else []:
            if kind == "neighbours":
                others = rng.choice([*NAMES[:18], "not-yet"], rng.integers(0, 5), replace=False).tolist()
                self.model.neighbours[name] = {other: float(rng.standard_normal()) for other in others}
                upload.feed(line({"id": name, "neighbours": list(self.model.neighbours[name].items())}))
            else:
                self.model.vectors[name] = 3 * rng.standard_normal(4)
                upload.feed(line({"id": name, "embedding": self.model.vectors[name].tolist()}))
        self.library.replace_space("collaborative", upload.finish())

    @rule(seed=st.integers(0, 2**32), rows=st.integers(0, len(NAMES)))
    def replace_popular(self, seed: int, rows: int) -> None:
        rng = np.random.default_rng(seed)
        upload = SpaceUpload("popular")
        self.model.scores = {name: float(rng.integers(-3, 4)) for name in rng.choice(NAMES, rows, replace=False).tolist()}
        for name, score in self.model.scores.items():
            upload.feed(line({"id": name, "score": score}))
        self.library.replace_space("popular", upload.finish())

    @rule()
    def restart(self) -> None:
        before = self.library.view.centre
        self.library.close()
        self.library = Library(self.folder / "c.sqlite3", LENDERS)
        after = self.library.view.centre
        assert (after.items, after.mean.tolist()) == (before.items, before.mean.tolist())

    @rule(writes=st.booleans())
    def seal(self, writes: bool) -> None:
        if "content-1" in [space.name for space in self.library.spaces()]:
            self.library.merge("content-1")
        while (job := self.library.begin_job()) is not None:
            if writes and self.model.items:
                self.upsert([next(iter(self.model.items))], len(self.model.items))
            self.library.end_job(job, do(job.asked(self.library.catalogue.path, self.library.store.folder, 1)))
            writes = False

    @rule(question=questions(), proposals=st.sampled_from([1, 3, 8, 500]))
    def search(self, question: Question, proposals: int) -> None:
        check(self.library, self.model, question, proposals)

    @invariant()
    def every_item_is_listed(self) -> None:
        assert [item.id for item in self.library.catalogue.after("", 100)] == sorted(self.model.items)
        self.library.check()

    def teardown(self) -> None:
        self.library.close()
        shutil.rmtree(self.folder)


Service.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestService = Service.TestCase


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
