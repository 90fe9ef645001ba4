"""Retrieval after random writes, uploads, seals and restarts, against the definition."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.unit.retriever.definition import LENDERS, NAMES, Model, line, unit

from retriever.builder import do
from retriever.errors import NothingToRetrieve
from retriever.filters import AnyOf, Condition, NoneOf, Range, Where
from retriever.items import Item
from retriever.library import Library
from retriever.retrieval import Question, retrieve
from retriever.sources import Query
from retriever.upload import SpaceUpload

GENRES = ("poetry", "crime", "space")


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


class Service(RuleBasedStateMachine):
    """Random writes, searches and restarts; every answer is the model's."""

    @initialize()
    def start(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.library, self.model = Library(self.folder / "c.sqlite3", LENDERS, fsync=False), Model()

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
        self.library = Library(self.folder / "c.sqlite3", LENDERS, fsync=False)
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
