"""Compares what a library holds and finds with the truth. Changes nothing."""

import numpy as np
from tests.chaos import damage
from tests.chaos.trial import Trial
from tests.chaos.truth import check_found, hits, same_vectors

from retriever.backends.protocol import Ask, SpaceState
from retriever.errors import NothingToRetrieve
from retriever.retrieval import Answer, Question
from retriever.retrieval import retrieve as retrieved
from retriever.sources import Query


def compare(trial: Trial) -> None:
    """All that the library holds with all that it must hold."""
    truth, library = trial.truth, trial.library
    assert len(library) == library.catalogue.count() == len(truth.items)
    stored, after = [], ""
    while page := library.after(after, 100):
        stored += page
        after = page[-1].id
    assert stored == [truth.items[name] for name in sorted(truth.items)]
    states(trial)
    for name, space in truth.spaces.items():
        ids = sorted(truth.items)
        same = same_vectors(library.vectors(name, ids), [space.vectors.get(one) for one in ids])
        assert same.all(), f"{name}: other vectors for {[one for one, right in zip(ids, same, strict=True) if not right][:5]}"
    left = {path.name for path in damage.derived(library.store.folder)} - library.store.manifest.files
    assert trial.built or not left, f"files that the manifest does not name: {left}"


def states(trial: Trial) -> None:
    truth = trial.truth
    assert trial.library.spaces() == sorted(
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
            for said in trial.library.spaces()
            if said.name == name
        ),
        key=lambda state: state.name,
    )
    for said in trial.library.spaces():
        assert said.unsealed is not None
        assert said.dead is not None
        assert 0 <= said.unsealed <= said.rows
        assert said.dead >= 0


def look_up(trial: Trial) -> None:
    ids = trial.draw.some_ids(10)
    truth, library = trial.truth, trial.library
    for name in ids:
        assert library.item(name) == truth.items.get(name)
    found = library.items(ids)
    assert found.keys() == truth.items.keys() & set(ids)
    assert all(item.attributes == truth.items[name].attributes and item.text is None for name, item in found.items())
    start = trial.rng.choice(("", "i3", "zzz"))
    assert [item.id for item in library.after(start, 7)] == sorted(name for name in truth.items if name > start)[:7]
    if space := trial.draw.space():
        vectors = truth.spaces[space].vectors
        assert same_vectors(library.vectors(space, ids), [vectors.get(one) for one in ids]).all()
    library.check()


def search(trial: Trial) -> None:
    """Exactly or approximately, with and without filter and exclusions, one query or many."""
    name = trial.draw.space()
    if not name:
        assert trial.library.search(Ask(trial.draw.vectors(1, 4), 3)).ids == [[]]
        return
    exact, n = trial.rng.random() < 0.5, trial.rng.choice((1, 3, 10, 10, 10, 40, 2_000))
    queries = trial.draw.vectors(trial.rng.choice((1, 1, 1, 4, 70)), trial.truth.spaces[name].dimension)
    wanted, excluded = trial.draw.filter(), trial.draw.some_ids(trial.rng.choice((0, 0, 5, 200)))
    answer = trial.library.search(
        Ask(queries, n, trial.draw.called(name), wanted, excluded, exact=exact, min_generation=trial.library.generation)
    )
    assert answer.generation == trial.library.generation
    allowed = trial.truth.allowed(wanted, set(excluded))
    for query, ids, scores in list(zip(queries, answer.ids, answer.scores, strict=True))[:4]:
        truth = trial.truth.scores(name, query, allowed)
        check_found(ids, scores, truth, name)
        right, best = hits(ids, truth, n)
        if exact:
            assert (right, len(ids)) == (best, best), f"{name}: {right} of the {best} best were found, filter {wanted}"
        elif n <= 40:
            trial.found, trial.wanted = trial.found + right, trial.wanted + best
            trial.plans.update(str(part["taken"]) for part in answer.plan)


def retrieve(trial: Trial) -> None:
    content = trial.truth.spaces.get(trial.truth.content or "")
    for question in questions(trial):
        if (answer := answered(trial, question)) is None:
            continue
        assert content is not None
        excluded = {*question.exclude, *(name for name in question.liked if name in content.vectors)}
        allowed = trial.truth.allowed(question.filter, excluded) & content.vectors.keys()
        assert answer.searched == len(allowed)
        assert {found.item.id for found in answer.found} <= allowed
        assert len(answer.found) == min(10, len(allowed))
        assert all(np.isfinite(found.score) for found in answer.found)


def questions(trial: Trial) -> list[Question]:
    content = trial.truth.spaces.get(trial.truth.content or "")
    queries = [Query("q", vector, 1.0) for vector in trial.draw.vectors(2, content.dimension)] if content else []
    weights = ({"content": 1.0}, {"collaborative": 1.0, "popular": 0.5}, {"similar": 1.0}, {"popular": 1.0})
    return [Question(weight, queries, trial.draw.ids(3), trial.draw.some_ids(3), trial.draw.filter(), k=10) for weight in weights]


def answered(trial: Trial, question: Question) -> Answer | None:
    try:
        return retrieved(trial.library.view, question, 500)
    except NothingToRetrieve:
        return None
