"""A library under random operations, compared with plain dicts after each: writes, index jobs, failures, damage, restarts, searches.

By hand, for hours if need be: `python tests/chaos/model.py --operations 1000000 --seed 7`. A failure names the seed and the operation, and
the same seed does the same again. Knows nothing of HTTP and processes; those that are killed are in test_kill.py.
"""

import argparse
import random
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.chaos import damage
from tests.chaos.draws import Draws
from tests.chaos.truth import Truth, check_found, hits, same_vectors

from retriever import plan, upkeep
from retriever.backends.protocol import CONTENT, Ask, SpaceState
from retriever.builder import do
from retriever.errors import (
    EmbeddingInvalid,
    FingerprintMismatch,
    GenerationNotReached,
    ItemUnknown,
    NothingToRetrieve,
    RetrieverError,
    SpaceExists,
    SpaceInUse,
    SpaceInvalid,
    SpaceUnknown,
    StorageFailed,
    VectorsMissing,
)
from retriever.library import Library
from retriever.retrieval import Answer, Question, retrieve
from retriever.segments.entry import SegmentDamaged
from retriever.sources import Query
from retriever.upkeep import Job
from retriever.upload import SpaceUpload

RECALL = 0.95
SMALL = {upkeep: {"SEAL_ROWS": 64, "SMALL_ROWS": 150, "GRAPH_ROWS": 200, "LOG_ROWS": 40, "FANOUT": 3}, plan: {"EXACT_ROWS": 48, "SAMPLE": 16}}
"""The sizes at which work falls due, so that a catalogue of hundreds has all that one of millions has."""


@contextmanager
def small_sizes() -> Iterator[None]:
    """Inside, segments are sealed, merged and searched by graph at the sizes of SMALL."""
    before = {module: {name: getattr(module, name) for name in sizes} for module, sizes in SMALL.items()}
    try:
        for module, sizes in SMALL.items():
            vars(module).update(sizes)
        yield
    finally:
        for module, sizes in before.items():
            vars(module).update(sizes)


class Model:
    """A library in `folder` and what it must hold."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.path, self.seed, self.done = folder / "catalogue.sqlite3", seed, 0
        self.rng, self.truth = random.Random(seed), Truth()
        self.draw = Draws(self.rng, self.truth)
        self.library = self._opened()
        self.job: Job | None = None
        self.built: dict[str, Any] | None = None
        self.found, self.wanted = 0, 0
        self.did, self.plans, self.damages = Counter[str](), Counter[str](), Counter[str]()
        self._names = list(OPERATIONS)
        self._weights = [weight for weight, _ in OPERATIONS.values()]

    @property
    def recall(self) -> float:
        return self.found / max(1, self.wanted)

    def run(self, operations: int) -> None:
        """Does so many operations; a failure tells how to see it again."""
        try:
            for _ in range(operations):
                self.done += 1
                (name,) = self.rng.choices(self._names, self._weights)
                self.did[name] += 1
                generation = self.library.generation
                OPERATIONS[name][1](self)
                assert self.library.generation >= generation, f"{name}: the generation fell from {generation} to {self.library.generation}"
            self.restart()
        except BaseException as error:
            again = f"python tests/chaos/model.py --seed {self.seed} --operations {self.done}"
            error.add_note(f"operation {self.done} of seed {self.seed}: {again}")
            raise

    def close(self) -> None:
        self.library.close()

    def _opened(self) -> Library:
        return Library(self.path, lenders=3, fsync=False)

    # writes

    def put(self) -> None:
        fingerprint, dimension = self.draw.encoder()
        items = self.draw.items()
        embeddings = self.draw.vectors(len(items), dimension)
        if self.truth.items and self.rng.random() < 0.15:  # some are as they were
            for place, item in enumerate(items):
                items[place] = self.truth.items.get(item.id, item)
        names = {item.id for item in items}
        written = self.library.put(fingerprint, items, embeddings)
        new = len(names - self.truth.items.keys())
        assert (written.created, written.replaced, written.duplicates) == (new, len(names) - new, len(items) - len(names))
        assert written.generation == self.library.generation
        self.truth.put(fingerprint, items, embeddings)
        if self.rng.random() < 0.1:
            again = self.library.put(fingerprint, items, embeddings)
            assert (again.created, again.replaced) == (0, len(names))

    def put_vectors(self) -> None:
        if not (name := self.draw.space()) or not (ids := self.draw.ids(12)):
            return
        space = self.truth.spaces[name]
        embeddings, had = self.draw.vectors(len(ids), space.dimension), len(space.vectors.keys() & set(ids))
        written = self.library.put_vectors(self.draw.called(name), space.fingerprint, ids, embeddings)
        assert (written.created, written.replaced, written.duplicates) == (len(set(ids)) - had, had, len(ids) - len(set(ids)))
        self.truth.put_vectors(name, ids, embeddings)

    def fill(self) -> None:
        """Gives every item a vector in one space, which can be cut over to then."""
        if not (name := self.draw.space()) or not (lacking := sorted(self.truth.items.keys() - self.truth.spaces[name].vectors.keys())):
            return
        space = self.truth.spaces[name]
        embeddings = self.draw.vectors(len(lacking), space.dimension)
        self.library.put_vectors(name, space.fingerprint, lacking, embeddings)
        self.truth.put_vectors(name, lacking, embeddings)

    def patch(self) -> None:
        if self.truth.items:
            patches = [self.draw.patch(name) for name in self.draw.ids(5)]
            assert self.library.patch(patches).changed == len({patch.id for patch in patches})
            self.truth.patch(patches)

    def delete(self) -> None:
        ids = self.draw.some_ids(8)
        written = self.library.delete(ids)
        there = {name for name in ids if name in self.truth.items}
        assert written.changed == len(there)
        assert sorted(written.unknown) == sorted(set(ids) - there)
        self.truth.delete(ids)

    def delete_many(self) -> None:
        """So that segments get many dead rows, or only such."""
        ids = self.rng.sample(sorted(self.truth.items), int(len(self.truth.items) * self.rng.choice((0.3, 0.6, 1))))
        self.library.delete(ids)
        self.truth.delete(ids)

    def delete_and_add(self) -> None:
        fingerprint, dimension = self.draw.encoder()
        items = list({item.id: item for item in self.draw.items()}.values())
        embeddings = self.draw.vectors(len(items), dimension)
        before = self.library.catalogue.numbers([item.id for item in items])
        self.library.delete([item.id for item in items])
        self.truth.delete([item.id for item in items])
        self.library.put(fingerprint, items, embeddings)
        self.truth.put(fingerprint, items, embeddings)
        assert not set(before.tolist()) & set(self.library.catalogue.numbers([item.id for item in items]).tolist()), "a number given twice"

    def upload(self) -> None:
        name, lines = self.draw.upload()
        reading = SpaceUpload(name)
        reading.feed(lines)
        state = self.library.replace_space(name, reading.finish())
        assert state.rows == lines.count(b"\n")

    # spaces

    def create_space(self) -> None:
        name, fingerprint, dimension, kind = self.draw.new_space()
        there = self.truth.spaces.get(name)
        same_encoder = [space.dimension for space in self.truth.spaces.values() if space.fingerprint == fingerprint]
        if there is not None and (there.fingerprint, there.dimension, there.kind) != (fingerprint, dimension, kind):
            self._refused(SpaceExists, lambda: self.library.create_space(name, fingerprint, dimension, kind))
        elif there is None and same_encoder and same_encoder[0] != dimension:
            self._refused(SpaceInvalid, lambda: self.library.create_space(name, fingerprint, dimension, kind))
        else:
            self.library.create_space(name, fingerprint, dimension, kind)
            self.truth.create_space(name, fingerprint, dimension, kind)

    def drop_space(self) -> None:
        if not (name := self.draw.space()):
            return
        if name == self.truth.content:
            self._refused(SpaceInUse, lambda: self.library.drop_space(name))
        else:
            self.library.drop_space(name)
            self.truth.drop_space(name)

    def cut_over(self) -> None:
        if not (name := self.draw.space()):
            return
        missing = len(self.truth.items) - len(self.truth.spaces[name].vectors)
        allow = self.rng.random() < 0.3
        if missing and not allow:
            self._refused(VectorsMissing, lambda: self.library.cut_over(name))
        else:
            self.library.cut_over(name, allow_missing=allow)
            self.truth.cut_over(name)

    def roll_back(self) -> None:
        if self.truth.previous is not None:
            self.library.cut_over(self.truth.previous, allow_missing=True)
            self.truth.cut_over(self.truth.previous)

    # what is refused changes nothing

    def refuse(self) -> None:
        if not self.truth.spaces:
            return
        name, item, embedding = self.truth.content or CONTENT, self.draw.items()[:1], self.draw.vectors(1, 5)
        space = self.truth.spaces[name]
        unit = self.draw.vectors(1, space.dimension)
        refusals: list[tuple[type[RetrieverError], Callable[[], object]]] = [
            (FingerprintMismatch, lambda: self.library.put("stranger", item, unit)),
            (FingerprintMismatch, lambda: self.library.put_vectors(name, "stranger", [item[0].id], unit)),
            (EmbeddingInvalid, lambda: self.library.put(space.fingerprint, item, embedding)),
            (EmbeddingInvalid, lambda: self.library.put(space.fingerprint, item, unit * 1.1)),
            (EmbeddingInvalid, lambda: self.library.put(space.fingerprint, item, unit * np.nan)),
            (ItemUnknown, lambda: self.library.put_vectors(name, space.fingerprint, ["nobody"], unit)),
            (ItemUnknown, lambda: self.library.patch([self.draw.patch(name) for name in [*self.draw.ids(2), "nobody"]])),
            (SpaceUnknown, lambda: self.library.put_vectors("nowhere", space.fingerprint, ["a"], unit)),
            (SpaceUnknown, lambda: self.library.drop_space("nowhere")),
            (SpaceUnknown, lambda: self.library.cut_over("nowhere")),
            (SpaceUnknown, lambda: self.library.search(Ask(unit, 1, "nowhere"))),
            (SpaceExists, lambda: self.library.create_space(CONTENT, "f", 4, "hnsw")),
            (SpaceInvalid, lambda: self.library.create_space("fresh", "fresh", 4, "no-such-kind")),
            (SpaceInvalid, lambda: self.library.create_space("fresh", "fresh", self.rng.choice((0, -1, 100_000)), "hnsw")),
            (EmbeddingInvalid, lambda: self.library.search(Ask(embedding, 1))),
            (GenerationNotReached, lambda: self.library.search(Ask(unit, 1, min_generation=self.library.generation + 1))),
        ]
        self._refused(*self.rng.choice(refusals))

    def _refused(self, error: type[RetrieverError], work: Callable[[], object]) -> None:
        generation = self.library.generation
        try:
            work()
        except error:
            assert self.library.generation == generation
        else:
            raise AssertionError(f"{error.__name__} was not raised")

    def fill_the_disk(self) -> None:
        """A write for which SQLite finds no room, at any of its statements; it must leave no trace, and the next one must work."""
        sql: sqlite3.Connection = self.library.catalogue._writer
        pages = sql.execute("PRAGMA page_count").fetchone()[0]
        sql.execute(f"PRAGMA max_page_count = {pages + self.rng.randrange(3)}")
        fingerprint, dimension = self.draw.encoder()
        items = [self.draw.item(name, text="x" * 9_000) for name in self.draw.some_ids(12) or ["only"]]
        embeddings = self.draw.vectors(len(items), dimension)
        try:
            self.library.put(fingerprint, items, embeddings)
            self.truth.put(fingerprint, items, embeddings)
        except StorageFailed:
            self.did["a write that found the disk full"] += 1
        finally:
            sql.execute("PRAGMA max_page_count = 1073741823")

    def fail_at_the_end(self) -> None:
        """A write of which all statements are done but the last; it must leave no trace in memory either."""
        if not (name := self.draw.space()) or not (ids := self.draw.ids(20)):
            return
        space, (fingerprint, dimension) = self.truth.spaces[name], self.draw.encoder()
        items = [self.draw.item(one) for one in ids]
        reading = SpaceUpload("popular")
        reading.feed(b'{"id": "i1", "score": 1}')
        writes: tuple[Callable[[], object], ...] = (
            lambda: self.library.put(fingerprint, items, self.draw.vectors(len(items), dimension)),
            lambda: self.library.put_vectors(name, space.fingerprint, ids, self.draw.vectors(len(ids), space.dimension)),
            lambda: self.library.delete(ids),
            lambda: self.library.patch([self.draw.patch(one) for one in ids]),
            lambda: self.library.replace_space("popular", reading.finish()),
        )
        sql: sqlite3.Connection = self.library.catalogue._writer
        sql.execute("CREATE TEMP TRIGGER refusing BEFORE UPDATE ON main.meta BEGIN SELECT RAISE(ABORT, 'refused by the model'); END")
        try:
            self._refused(StorageFailed, self.rng.choice(writes))
        finally:
            sql.execute("DROP TRIGGER refusing")

    # the index

    def begin_job(self) -> None:
        if self.rng.random() < 0.1 and (name := self.draw.space()):
            self.library.merge(name)
        if self.job is None:
            self.job = self.library.begin_job()

    def build(self) -> None:
        if self.job is not None and self.built is None:
            self.built = do(self.job.asked(self.path, self.library.store.folder, 1))

    def end_job(self) -> None:
        if self.job is None:
            return
        job, built, self.job, self.built = self.job, self.built, None, None
        self.did["a job that was done" if built else "a job that failed"] += 1
        harmed = built and built["entry"] and self.rng.random() < 0.1 and damage.WAYS["bits flipped"](self.library.store.folder, self.rng)
        try:
            self.library.end_job(job, built)
        except SegmentDamaged:
            assert harmed
        if harmed:  # it may have been another file, which is found out about at the next start
            self._reopen()

    def all_jobs(self) -> None:
        """All that is due, as it is on an idle machine."""
        for _ in range(20):
            self.begin_job()
            self.build()
            if self.job is None:
                return
            self.end_job()

    # restarts

    def restart(self) -> None:
        asked = self._questions()
        before = [self._answer(question) for question in asked]
        self._reopen()
        for question, was in zip(asked, before, strict=True):
            now = self._answer(question)
            assert (now is None) == (was is None)
            if now and was:
                assert now.searched == was.searched
                old, new = (sorted(found.score for found in answer.found) for answer in (was, now))
                assert np.allclose(old, new, atol=1e-4), f"a restart changed an answer: {old} became {new}"
        self.compare()

    def damaged_restart(self) -> None:
        self.library.close()
        way = self.rng.choice(sorted(damage.WAYS))
        self.damages[way] += 1
        damage.WAYS[way](self.library.store.folder, self.rng)
        self._forget_job()
        self.library = self._opened()
        try:
            self.compare()
        except AssertionError as error:
            error.add_note(f"after this damage: {way}")
            raise

    def _reopen(self) -> None:
        self.library.close()
        self._forget_job()
        self.library = self._opened()

    def _forget_job(self) -> None:
        self.job = self.built = None

    # reads

    def compare(self) -> None:
        """All that the library holds with all that it must hold."""
        truth, library = self.truth, self.library
        assert len(library) == library.catalogue.count() == len(truth.items)
        stored, after = [], ""
        while page := library.after(after, 100):
            stored += page
            after = page[-1].id
        assert stored == [truth.items[name] for name in sorted(truth.items)]
        self.states()
        for name, space in truth.spaces.items():
            ids = sorted(truth.items)
            same = same_vectors(library.vectors(name, ids), [space.vectors.get(one) for one in ids])
            assert same.all(), f"{name}: other vectors for {[one for one, right in zip(ids, same, strict=True) if not right][:5]}"
        left = {path.name for path in damage.derived(library.store.folder)} - library.store.manifest.files
        assert self.built is not None or not left, f"files that the manifest does not name: {left}"

    def states(self) -> None:
        truth = self.truth
        assert self.library.spaces() == sorted(
            (
                SpaceState(
                    name,
                    space.fingerprint,
                    space.dimension,
                    space.kind,
                    rows=len(space.vectors),
                    missing=len(truth.items) - len(space.vectors),
                    content=name == truth.content,
                    previous=name == truth.previous,
                    segments=said.segments,
                    unsealed=said.unsealed,
                    dead=said.dead,
                )
                for name, space in truth.spaces.items()
                for said in self.library.spaces()
                if said.name == name
            ),
            key=lambda state: state.name,
        )
        for said in self.library.spaces():
            assert said.unsealed is not None
            assert said.dead is not None
            assert 0 <= said.unsealed <= said.rows
            assert said.dead >= 0

    def look_up(self) -> None:
        ids = self.draw.some_ids(10)
        truth, library = self.truth, self.library
        for name in ids:
            assert library.item(name) == truth.items.get(name)
        found = library.items(ids)
        assert found.keys() == truth.items.keys() & set(ids)
        assert all(item.attributes == truth.items[name].attributes and item.text is None for name, item in found.items())
        start = self.rng.choice(("", "i3", "zzz"))
        assert [item.id for item in library.after(start, 7)] == sorted(name for name in truth.items if name > start)[:7]
        if space := self.draw.space():
            vectors = truth.spaces[space].vectors
            assert same_vectors(library.vectors(space, ids), [vectors.get(one) for one in ids]).all()
        library.check()

    def search(self) -> None:
        """Exactly or approximately, with and without filter and exclusions, one query or many."""
        name = self.draw.space()
        if not name:
            assert self.library.search(Ask(self.draw.vectors(1, 4), 3)).ids == [[]]
            return
        exact, n = self.rng.random() < 0.5, self.rng.choice((1, 3, 10, 10, 10, 40, 2_000))
        queries = self.draw.vectors(self.rng.choice((1, 1, 1, 4, 70)), self.truth.spaces[name].dimension)
        wanted, excluded = self.draw.filter(), self.draw.some_ids(self.rng.choice((0, 0, 5, 200)))
        answer = self.library.search(
            Ask(queries, n, self.draw.called(name), wanted, excluded, exact=exact, min_generation=self.library.generation)
        )
        assert answer.generation == self.library.generation
        allowed = self.truth.allowed(wanted, set(excluded))
        for query, ids, scores in list(zip(queries, answer.ids, answer.scores, strict=True))[:4]:
            truth = self.truth.scores(name, query, allowed)
            check_found(ids, scores, truth, name)
            right, best = hits(ids, truth, n)
            if exact:
                assert (right, len(ids)) == (best, best), f"{name}: {right} of the {best} best were found, filter {wanted}"
            elif n <= 40:
                self.found, self.wanted = self.found + right, self.wanted + best
                self.plans.update(str(part["taken"]) for part in answer.plan)

    def _questions(self) -> list[Question]:
        content = self.truth.spaces.get(self.truth.content or "")
        queries = [Query("q", vector, 1.0) for vector in self.draw.vectors(2, content.dimension)] if content else []
        weights = ({"content": 1.0}, {"collaborative": 1.0, "popular": 0.5}, {"similar": 1.0}, {"popular": 1.0})
        return [Question(weight, queries, self.draw.ids(3), self.draw.some_ids(3), self.draw.filter(), k=10) for weight in weights]

    def _answer(self, question: Question) -> Answer | None:
        try:
            return retrieve(self.library.view, question, 500)
        except NothingToRetrieve:
            return None

    def retrieve(self) -> None:
        content = self.truth.spaces.get(self.truth.content or "")
        for question in self._questions():
            if (answer := self._answer(question)) is None:
                continue
            assert content is not None
            excluded = {*question.exclude, *(name for name in question.liked if name in content.vectors)}
            allowed = self.truth.allowed(question.filter, excluded) & content.vectors.keys()
            assert answer.searched == len(allowed)
            assert {found.item.id for found in answer.found} <= allowed
            assert len(answer.found) == min(10, len(allowed))
            assert all(np.isfinite(found.score) for found in answer.found)


OPERATIONS: dict[str, tuple[float, Callable[[Model], None]]] = {
    "put": (22, Model.put),
    "put vectors": (8, Model.put_vectors),
    "fill a space": (0.7, Model.fill),
    "patch": (9, Model.patch),
    "delete": (6, Model.delete),
    "delete many": (0.3, Model.delete_many),
    "delete and add": (2, Model.delete_and_add),
    "upload": (0.7, Model.upload),
    "create a space": (1, Model.create_space),
    "drop a space": (0.4, Model.drop_space),
    "cut over": (1.2, Model.cut_over),
    "roll back": (0.5, Model.roll_back),
    "refuse": (4, Model.refuse),
    "disk full": (1, Model.fill_the_disk),
    "fail at the end": (2, Model.fail_at_the_end),
    "begin a job": (4, Model.begin_job),
    "build": (3, Model.build),
    "end a job": (2.5, Model.end_job),
    "all jobs": (0.5, Model.all_jobs),
    "restart": (0.4, Model.restart),
    "restart after damage": (1, Model.damaged_restart),
    "look up": (8, Model.look_up),
    "states": (4, Model.states),
    "search": (26, Model.search),
    "retrieve": (1, Model.retrieve),
}
"""How often each comes, and what it does."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--operations", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    asked = parser.parse_args()
    print(f"seed {asked.seed}", flush=True)
    started = time.monotonic()
    with small_sizes(), tempfile.TemporaryDirectory() as folder:
        model = Model(Path(folder), asked.seed)
        while model.done < asked.operations:
            model.run(min(10_000, asked.operations - model.done))
            took = time.monotonic() - started
            print(f"{model.done:>9} operations, {took:7.1f} s, {len(model.truth.items)} items, recall {model.recall:.4f}", flush=True)
        model.close()
        for title, counts in (("done", model.did), ("plans", model.plans), ("damage", model.damages)):
            print(f"{title}: {dict(counts.most_common())}")


if __name__ == "__main__":
    main()
