"""What is Milvus' own: its kinds of index, its limits, and what happens when it is away. The shared promises are in tests/contract."""

import itertools
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from tests.contract.retriever_stores import DIMENSION, items, unit

from pipelines.suite import free_ports
from retriever.backends.milvus import Milvus
from retriever.backends.milvus.expressions import expression_of
from retriever.backends.milvus.server import KINDS, MAX_TOP, Server
from retriever.backends.milvus.terms import equals, has_word, terms_of
from retriever.backends.protocol import CONTENT, Ask
from retriever.errors import FilterUnsupported, ItemTooLarge, SpaceInvalid, StorageFailed
from retriever.filters import EVERYTHING, AnyOf, Where
from retriever.items import Item

ENCODER = "encoder"
ROWS = 400
made = itertools.count()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("milvus") / "lite.db"


@pytest.fixture
def store(file: Path) -> Iterator[Milvus]:
    with closing(Milvus(str(file), prefix=f"unit_{next(made)}")) as store:
        yield store


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_finds_its_own_vectors_and_is_exact_when_asked(store: Milvus, kind: str) -> None:
    rng = np.random.default_rng(3)
    vectors, queries, names = unit(rng, ROWS, 16), unit(rng, 5, 16), [f"i{at}" for at in range(ROWS)]
    store.create_space("only", ENCODER, 16, kind)
    store.put(ENCODER, items(*names), vectors)
    store.merge(CONTENT)
    own = store.search(Ask(vectors[:20], 1))
    assert [list(ids) for ids in own.ids] == [[name] for name in names[:20]]
    assert np.allclose([scores[0] for scores in own.scores], 1.0, atol=1e-5)  # scored by the stored vector, not by a rounded one
    exact = store.search(Ask(queries, 10, exact=True))
    best = np.argsort(-(queries @ vectors.T), axis=1)[:, :10]
    assert [list(ids) for ids in exact.ids] == [[names[at] for at in row] for row in best]
    assert exact.plan[-1]["step"] == ("index" if kind == "flat" else "scan")


def test_more_than_milvus_gives_is_read_and_scored_here(store: Milvus) -> None:
    vectors = unit(np.random.default_rng(4), 50)
    store.put(ENCODER, items(*(f"i{at}" for at in range(50))), vectors)
    hits = store.search(Ask(vectors[:1], MAX_TOP + 1))
    assert (len(hits.ids[0]), hits.plan) == (50, [{"step": "scan", "rows": 50}])


def test_the_plan_tells_index_filter_and_effort(store: Milvus) -> None:
    store.put(ENCODER, items("a", "b", lang="de"), unit(np.random.default_rng(4), 2))
    hits = store.search(Ask(unit(np.random.default_rng(5), 1), 2, filter=Where("lang", AnyOf(("de",))), effort=77))
    assert hits.plan == [{"step": "index", "type": "HNSW", "top": 2, "filtered": True, "ef": 77}]


@pytest.mark.parametrize(
    ("item", "named"),
    [
        (Item("long", "t", text="é" * 32_000), "characters"),
        (Item("many", "t", {f"a{at}": tuple(f"w{word}" for word in range(100)) for at in range(64)}), "attribute values"),
        (Item("wide", "t", {f"a{at}": "é" * 500 for at in range(64 + 10)}), "bytes of attributes"),
        (Item("x" * 3_000, "t"), "bytes"),
    ],
    ids=["text", "terms", "attributes", "id"],
)
def test_an_item_too_large_is_refused_by_name_and_nothing_stored(store: Milvus, item: Item, named: str) -> None:
    with pytest.raises(ItemTooLarge, match=f"{item.id[:100]}.*{named}"):
        store.put(ENCODER, [Item("small", "t"), item], unit(np.random.default_rng(1), 2))
    assert (len(store), store.generation) == (0, 0)


def test_a_control_character_is_refused_and_not_sent(store: Milvus) -> None:
    store.put(ENCODER, items("a"), unit(np.random.default_rng(1), 1))
    with pytest.raises(FilterUnsupported, match="control character"):
        store.search(Ask(unit(np.random.default_rng(1), 1), 1, exclude=["a\nb"]))


@pytest.mark.parametrize("dimension", [1, 32_769])
def test_a_dimension_that_milvus_can_not_hold_is_refused(store: Milvus, dimension: int) -> None:
    with pytest.raises(SpaceInvalid, match=str(dimension)):
        store.create_space("one", ENCODER, dimension, "hnsw")


def test_a_space_whose_creation_was_cut_off_is_made_anew(store: Milvus) -> None:
    server, collection = store._server, store._server.named("space:next")
    server.create(collection, (("terms", "terms"), ("numbers", "json")), DIMENSION + 4, "flat")  # and then the process was killed
    assert [state.name for state in store.spaces()] == []
    store.create_space("next", ENCODER, DIMENSION, "hnsw")
    store.put(ENCODER, items("a"), unit(np.random.default_rng(1), 1))
    assert store.spaces()[0].rows == 1


def test_names_that_differ_have_collections_that_differ() -> None:
    server = Server.__new__(Server)
    server.prefix = "p"
    named = {server.named(name) for name in ("a-b", "a_b", "a.b", "a b", "x" * 64, "x" * 65)}
    assert len(named) == 6
    assert all(name.isidentifier() for name in named)


def test_a_server_that_is_away_is_told(free_port: int) -> None:
    with pytest.raises(StorageFailed, match="Milvus did not do connect"):
        Milvus(f"http://127.0.0.1:{free_port}", timeout_s=0.5)


@pytest.fixture
def free_port() -> int:
    return free_ports(1)[0]


def test_terms_are_short_safe_words_and_apart() -> None:
    terms = [
        equals("a", "1"),
        equals("a", 1),
        equals("a", True),
        equals("a", "True"),
        has_word("a", "1"),
        equals("b", "1"),
        equals("ab", "c"),
        equals("a", "bc"),
    ]
    assert len(set(terms)) == len(terms)
    assert all(len(term) == 24 and term.replace("-", "").replace("_", "").isalnum() for term in terms)
    assert equals("a", 1) == equals("a", 1.0)
    assert terms_of({}) == []


def test_a_filter_that_lets_everything_pass_costs_no_expression() -> None:
    assert expression_of(EVERYTHING) == ""
