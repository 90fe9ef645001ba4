"""The backends that the suites of this folder run over."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from retriever.backends.milvus import Milvus
from retriever.backends.protocol import Backend
from retriever.library import Library

LENDERS = 3
made = itertools.count()


@pytest.fixture(scope="session")
def milvus_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One embedded server for all tests; each has collections of its own."""
    return tmp_path_factory.mktemp("milvus") / "lite.db"


@pytest.fixture(params=["faiss", "milvus"])
def opened(request: pytest.FixtureRequest, milvus_file: Path, tmp_path: Path) -> Iterator[Callable[[], Backend]]:
    """Opens the test's store, a second time too once the first is closed."""
    stores: list[Backend] = []
    prefix = f"test_{next(made)}"

    def opening() -> Backend:
        milvus = request.param == "milvus"
        stores.append(Milvus(str(milvus_file), prefix=prefix) if milvus else Library(tmp_path / "catalogue.sqlite3", LENDERS))
        return stores[-1]

    yield opening
    for store in stores:
        store.close()


@pytest.fixture
def store(opened: Callable[[], Backend]) -> Backend:
    return opened()
