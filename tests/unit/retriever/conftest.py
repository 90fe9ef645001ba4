"""What all tests of the retriever share."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from tests.fakes.memory_backend import MemoryBackend
from tests.unit.retriever.serving import serving


@pytest.fixture
def store() -> MemoryBackend:
    """An empty backend in memory."""
    return MemoryBackend()


@pytest.fixture
async def http(store: MemoryBackend, tmp_path: Path) -> AsyncIterator[httpx2.AsyncClient]:
    """The routes over `store`."""
    async with serving(store, tmp_path, search_threads=2) as client:
        yield client
