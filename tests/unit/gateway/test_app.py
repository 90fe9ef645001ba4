"""What the composition adds: limits, the web page, readiness."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
from tests.fakes.services import FakeRetriever
from tests.unit.gateway.conftest import House

from gateway.app import build
from gateway.settings import Settings


async def test_the_web_page_and_its_files_are_served(house: House) -> None:
    page = await house.http.get("/")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert (await house.http.get("/console/app.js")).headers["content-type"].startswith("text/javascript")
    assert (await house.http.get("/console/../api.py")).status_code == 404


async def test_readiness_needs_the_retriever_only_until_a_popular_list_is_held(house: House) -> None:
    await house.retriever.stop()
    assert (await house.http.get("/readyz")).status_code == 200
    house.gateway.pipeline.popular._items = ()
    refused = await house.http.get("/readyz")
    assert refused.status_code == 503
    assert "no popular list is held" in refused.json()["detail"]


async def test_an_upload_that_grows_too_large_on_the_way_is_413_and_not_applied(tmp_path: Path) -> None:
    async def rows() -> AsyncIterator[bytes]:
        for number in range(200):
            yield b'{"id": "i%d", "score": 1}\n' % number

    async with FakeRetriever() as retriever:
        app = build(Settings(retriever_url=retriever.url, state_dir=tmp_path, max_body_bytes=2_000))
        transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
        async with app.router.lifespan_context(app), httpx2.AsyncClient(transport=transport, base_url="http://gateway") as http:
            answer = await http.put("/v1/spaces/popular", content=rows(), headers={"content-type": "application/x-ndjson"})
            assert (answer.status_code, answer.headers["content-type"]) == (413, "application/problem+json")
            assert (await http.get("/v1/spaces")).json()[0]["rows"] == 0


async def test_a_gateway_starts_with_nothing_behind_it_and_says_that_it_is_not_ready(tmp_path: Path) -> None:
    dead = "http://127.0.0.1:9"
    app = build(Settings(encoder_url=dead, expander_url=dead, retriever_url=dead, state_dir=tmp_path / "new"))
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    async with app.router.lifespan_context(app), httpx2.AsyncClient(transport=transport, base_url="http://gateway") as http:
        assert (await http.get("/livez")).status_code == 200
        assert (await http.get("/readyz")).status_code == 503
        assert (await http.post("/v1/events", json={"user_id": "ann", "item_id": "dune"})).json()["stored"] == 1


async def test_each_service_has_connections_of_its_own(house: House) -> None:
    clients: tuple[Any, ...] = (house.gateway.encoder, house.gateway.expander, house.gateway.retriever)
    assert len({id(client.service._session) for client in clients}) == 3
