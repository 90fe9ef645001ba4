"""A real vLLM for the whole run, an artefact of the words that its model writes, and the real expander over both."""

import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.bench import vllm_server
from tests.bench.vllm_server import MODEL, Server
from tests.vllm.artefact import write_artefact

from expander.app import build
from expander.settings import Settings

INSTALL = "a real vLLM is not installed: make test-vllm"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker("vllm")


@pytest.fixture(scope="session", autouse=True)
def installed() -> None:
    """Skips where there is no vLLM; continuous integration has to have one."""
    if not vllm_server.installed():
        assert os.environ.get("CI") != "true", INSTALL
        pytest.skip(INSTALL)


@pytest.fixture(scope="session")
def started(installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("vllm")) as server:
        yield server


@pytest.fixture
def vllm(started: Server) -> Iterator[Server]:
    """The server; a test that ends it starts it again before the next."""
    yield started
    if not started.ready():
        started.kill()
        started.start()
        started.wait_ready()


Expander = Callable[..., AbstractAsyncContextManager[httpx2.AsyncClient]]


@pytest.fixture
def expander(vllm: Server, tmp_path: Path) -> Expander:
    """Starts the expander over the server, with some settings; a client of it."""
    write_artefact(tmp_path / "topics.json")

    @asynccontextmanager
    async def running(**settings: Any) -> AsyncIterator[httpx2.AsyncClient]:
        chosen = {
            "state_dir": tmp_path / "state",
            "topics_path": tmp_path / "topics.json",
            "llm_url": vllm.url,
            "llm_model": MODEL,
            "llm_profile": "cpu",
            **settings,
        }
        app = build(Settings(**chosen))
        async with (
            app.router.lifespan_context(app),
            httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://expander", timeout=60) as client,
        ):
            yield client

    return running
