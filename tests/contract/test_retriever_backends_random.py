"""Random catalogues, writes and searches over every backend of the retriever, compared with a dict and a scan."""

import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.contract.retriever_stores import DIMENSION, Reference, attributes, expression, unit

from retriever.backends.protocol import CONTENT, FIRST_SPACE, Ask, Patch, Store
from retriever.filters import Expression, meets
from retriever.items import AttributeValue, Item
from retriever.retrieval import Question
from retriever.sources import Query

ENCODER, OTHER = "encoder-a", "encoder-b"
NAMES = [f"i{at}" for at in range(40)]
repeated = settings(
    max_examples=120, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None
)


@pytest.fixture
def mixed(store: Store) -> tuple[Store, Reference]:
    """Forty items with attributes of all types, some of them patched later."""
    rng, vectors = random.Random(11), unit(np.random.default_rng(11), len(NAMES))
    reference = Reference()
    items = [Item(name, name, attributes(rng)) for name in NAMES]
    store.put(ENCODER, items, vectors)
    reference.put([FIRST_SPACE], items, vectors)
    patches = [_patch(rng, name) for name in rng.sample(NAMES, 15)]
    store.patch(patches)
    for patch in patches:
        reference.patch(patch)
    return store, reference


def test_every_filter_finds_exactly_the_items_that_meet_it(mixed: tuple[Store, Reference]) -> None:
    store, reference = mixed
    query, met = unit(np.random.default_rng(1), 1), set[bool]()

    @repeated
    @given(st.integers(0, 2**32))
    def agrees(seed: int) -> None:
        wanted = expression(random.Random(seed), NAMES)
        expected = {name for name, item in reference.items.items() if meets(wanted, name, item.attributes)}
        assert set(store.search(Ask(query, len(NAMES), filter=wanted)).ids[0]) == expected, (seed, wanted)
        met.add(0 < len(expected) < len(NAMES))

    agrees()
    assert met == {True, False}


def test_what_an_item_has_is_told_by_value_and_type(mixed: tuple[Store, Reference]) -> None:
    """Each stored attribute comes back as it was, so that a moved catalogue filters alike."""
    store, reference = mixed
    for item in store.after("", len(NAMES)):
        given_ones = reference.items[item.id].attributes
        assert item.attributes == given_ones
        assert {name: type(value) for name, value in item.attributes.items()} == {name: type(value) for name, value in given_ones.items()}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_after_any_writes_a_store_holds_and_finds_what_a_dict_would(store: Store, seed: int) -> None:
    rng, drawn, reference = random.Random(seed), np.random.default_rng(seed), Reference()
    store.create_space("one", ENCODER, DIMENSION, "hnsw")
    store.create_space("two", OTHER, DIMENSION, "hnsw")
    writes: tuple[Callable[[], None], ...] = (
        lambda: _put(store, reference, rng, drawn),
        lambda: _put_vectors(store, reference, rng, drawn),
        lambda: _patch_some(store, reference, rng),
        lambda: _delete(store, reference, rng),
    )
    for step in range(60):
        rng.choices(writes, (4, 2, 2, 1))[0]()
        if step % 3 == 0:
            _compare(store, reference, rng, drawn, (seed, step))
    assert store.after("", 100) == [reference.items[name] for name in sorted(reference.items)]
    assert {state.name: state.rows for state in store.spaces()} == {name: len(reference.vectors.get(name, {})) for name in ("one", "two")}
    assert {state.missing for state in store.spaces() if state.name == "one"} == {0}


def _put(store: Store, reference: Reference, rng: random.Random, drawn: np.random.Generator) -> None:
    names = rng.choices(NAMES, k=rng.randrange(1, 8))
    items = [Item(name, f"title {at}", attributes(rng), rng.choice((None, "", "text"))) for at, name in enumerate(names)]
    vectors = unit(drawn, len(names))
    written = store.put(ENCODER, items, vectors)
    new = set(names) - reference.items.keys()
    assert (written.created, written.replaced, written.duplicates) == (len(new), len(set(names) - new), len(names) - len(set(names)))
    reference.put(["one"], items, vectors)


def _put_vectors(store: Store, reference: Reference, rng: random.Random, drawn: np.random.Generator) -> None:
    if names := rng.sample(sorted(reference.items), rng.randrange(len(reference.items) + 1)):
        vectors = unit(drawn, len(names))
        store.put_vectors("two", OTHER, names, vectors)
        reference.vectors.setdefault("two", {}).update(zip(names, vectors, strict=True))


def _patch_some(store: Store, reference: Reference, rng: random.Random) -> None:
    if reference.items:
        patches = [_patch(rng, name) for name in rng.choices(sorted(reference.items), k=3)]
        store.patch(patches)
        for patch in patches:
            reference.patch(patch)


def _delete(store: Store, reference: Reference, rng: random.Random) -> None:
    names = rng.sample(NAMES, rng.randrange(1, 10))
    unknown = [name for name in names if name not in reference.items]
    written = store.delete(names)
    assert (written.changed, sorted(written.unknown)) == (len(names) - len(unknown), sorted(unknown))
    reference.delete(names)


def _compare(store: Store, reference: Reference, rng: random.Random, drawn: np.random.Generator, place: object) -> None:
    space, query = rng.choice(("one", "two")), unit(drawn, 1)
    wanted: Expression | None = expression(rng, NAMES) if rng.random() < 0.7 else None
    exclude, n = rng.sample(NAMES, rng.randrange(10)), rng.randrange(1, 45)
    hits = store.search(Ask(query, n, space, wanted, exclude, exact=rng.random() < 0.5))
    expected = reference.search(space, query[0], n, wanted, exclude)
    assert list(hits.ids[0]) == [name for name, _ in expected], place
    assert np.allclose(hits.scores[0], [score for _, score in expected], atol=1e-5), place
    if space == "one" and reference.items:
        answer = store.retrieve(Question({"content": 1.0}, [Query("q", query[0], 1.0)], (), exclude, wanted, n), 500)
        assert [found.item for found in answer.found] == [replace(reference.items[name], text=None) for name, _ in expected], place
        assert np.allclose([found.said["content"].score for found in answer.found], [score for _, score in expected], atol=1e-5), place
    stored = store.vectors(space, NAMES)
    for name, row in zip(NAMES, stored, strict=True):
        kept = reference.vectors.get(space, {}).get(name)
        assert np.isnan(row).all() if kept is None else np.allclose(row, kept, atol=1e-6), place
    assert len(store) == len(reference.items)
    assert store.space(CONTENT) == store.space("one")


def _patch(rng: random.Random, name: str) -> Patch:
    removed: dict[str, AttributeValue | None] = dict.fromkeys(rng.sample(("a", "b", "c"), rng.randrange(2)))
    return Patch(
        name,
        title=rng.choice((None, "patched")),
        text=rng.choice((None, "patched")),
        drop_text=rng.random() < 0.2,
        attributes=attributes(rng) | removed,
        clear_attributes=rng.random() < 0.2,
    )
