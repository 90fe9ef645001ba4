"""The backends that the suites of this folder run over."""

import itertools
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pymilvus import MilvusClient  # type: ignore[import-untyped]

from retriever.backends.milvus import Milvus
from retriever.backends.protocol import Store
from retriever.library import Library

LENDERS = 3
made = itertools.count()


@pytest.fixture(scope="session")
def milvus_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An embedded server for all tests, or the one at RETRIEVER_TEST_MILVUS_URL; each test has collections of its own."""
    return os.environ.get("RETRIEVER_TEST_MILVUS_URL") or str(tmp_path_factory.mktemp("milvus") / "lite.db")


@pytest.fixture
def milvus_prefix(milvus_url: str) -> Iterator[str]:
    """Of the test's collections, which are dropped after it; what embedded ones lie in is dropped as a whole."""
    prefix = f"test_{uuid.uuid4().hex[:8]}_{next(made)}"
    yield prefix
    if "://" in milvus_url:
        client = MilvusClient(milvus_url)
        for name in client.list_collections():
            if name.startswith(prefix):
                for alias in client.list_aliases(name)["aliases"]:
                    client.drop_alias(alias)
                client.drop_collection(name)
        client.close()


@pytest.fixture(params=["faiss", "milvus"])
def opened(request: pytest.FixtureRequest, milvus_url: str, milvus_prefix: str, tmp_path: Path) -> Iterator[Callable[[], Store]]:
    """Opens the test's store, a second time too once the first is closed."""
    stores: list[Store] = []

    def opening() -> Store:
        milvus = request.param == "milvus"
        stores.append(
            Milvus(milvus_url, prefix=milvus_prefix, lenders=LENDERS) if milvus else Library(tmp_path / "catalogue.sqlite3", LENDERS)
        )
        return stores[-1]

    yield opening
    for store in stores:
        store.close()


@pytest.fixture
def lenders() -> int:
    """Of a store: items that stand in for one without interactions."""
    return LENDERS


@pytest.fixture
def store(opened: Callable[[], Store]) -> Store:
    return opened()
