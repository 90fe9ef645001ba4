"""Moves catalogues between retrievers that answer over HTTP, one on FAISS and one on Milvus (embedded)."""

import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from tests.contract.retriever_stores import DIMENSION, attributes, unit
from tests.integration.retriever_over import served

from pipelines import move_catalogue
from pipelines.move_catalogue import MoveIncomplete, Retriever, RetrieverRefused
from retriever.backends.milvus import Milvus
from retriever.backends.protocol import CONTENT, Ask, Backend, Patch
from retriever.items import AttributeValue, Item
from retriever.library import Library

ENCODER, OTHER = "encoder-a", "encoder-b"
NAMES = [f"i{at}" for at in range(1_203)]


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    with closing(Library(tmp_path / "catalogue.sqlite3", 3)) as store:
        yield store


@pytest.fixture
def milvus(tmp_path: Path) -> Iterator[Milvus]:
    with closing(Milvus(str(tmp_path / "lite.db"))) as store:
        yield store


def sendable(value: AttributeValue) -> bool:
    """What the API takes: no blank words, no numbers beyond float64."""
    return "" not in value if isinstance(value, tuple) else value not in ("", 10**400, -(10**400))


def fill(store: Backend) -> None:
    """Items with all types of attributes, some with vectors in a second space too, one in that only; content is the second made."""
    rng, drawn = random.Random(5), np.random.default_rng(5)
    store.create_space("old", OTHER, DIMENSION, "hnsw")
    store.create_space("now", ENCODER, DIMENSION + 1, "hnsw")
    items = [
        Item(name, f"title of {name}", {key: value for key, value in attributes(rng).items() if sendable(value)}, rng.choice((None, "é")))
        for name in NAMES
    ]
    store.put(ENCODER, items, unit(drawn, len(items), DIMENSION + 1))
    store.put_vectors("old", OTHER, NAMES[::3], unit(drawn, len(NAMES[::3])))
    store.put(OTHER, [Item("only-old", "t")], unit(drawn, 1))
    store.cut_over("now", allow_missing=True)


def moved(source: Backend, target: Backend, tmp_path: Path) -> move_catalogue.Tally:
    with served(source, tmp_path / "a") as here, served(target, tmp_path / "b") as there, Retriever(here) as one, Retriever(there) as other:
        return move_catalogue.run(one, other, None)


def same(one: Backend, other: Backend) -> None:
    assert one.after("", 2_000) == other.after("", 2_000)
    for space in ("old", "now"):
        assert np.array_equal(one.vectors(space, NAMES), other.vectors(space, NAMES), equal_nan=True)
    assert one.space(CONTENT) == other.space(CONTENT)
    query = unit(np.random.default_rng(6), 3, DIMENSION + 1)
    found = [store.search(Ask(query, 20, exact=True)).ids for store in (one, other)]
    assert list(map(list, found[0])) == list(map(list, found[1]))


def test_a_catalogue_moves_from_faiss_to_milvus_and_back_bit_by_bit(library: Library, milvus: Milvus, tmp_path: Path) -> None:
    fill(library)
    tally = moved(library, milvus, tmp_path)
    assert (tally.items, tally.vectors) == (1_204, 1_203 + 401 + 1)
    same(library, milvus)
    (tmp_path / "back").mkdir()
    with closing(Library(tmp_path / "back" / "catalogue.sqlite3", 3)) as back:
        again = moved(milvus, back, tmp_path)
        assert again.known_by == tally.known_by
        same(milvus, back)


def test_a_move_goes_on_and_sends_only_what_differs(library: Library, milvus: Milvus, tmp_path: Path) -> None:
    fill(library)
    moved(library, milvus, tmp_path)
    before = milvus.generation
    moved(library, milvus, tmp_path)
    assert milvus.generation == before
    milvus.delete(NAMES[100:110])
    library.patch([Patch(NAMES[7], title="patched")])
    moved(library, milvus, tmp_path)
    same(library, milvus)


def test_a_move_into_a_store_with_other_items_fails_and_names_one(library: Library, milvus: Milvus, tmp_path: Path) -> None:
    fill(library)
    milvus.create_space("now", ENCODER, DIMENSION + 1, "hnsw")
    milvus.put(ENCODER, [Item("stranger", "t")], unit(np.random.default_rng(1), 1, DIMENSION + 1))
    with pytest.raises(MoveIncomplete, match="stranger"):
        moved(library, milvus, tmp_path)


def test_a_move_into_a_space_of_another_fingerprint_is_refused(library: Library, milvus: Milvus, tmp_path: Path) -> None:
    fill(library)
    milvus.create_space("now", "encoder-z", DIMENSION + 1, "hnsw")
    with pytest.raises(RetrieverRefused, match=r"409.*encoder-z"):
        moved(library, milvus, tmp_path)
    assert len(milvus) == 0
