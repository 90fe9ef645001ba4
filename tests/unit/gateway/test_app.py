"""What the composition adds: limits, the web page, readiness."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.fakes.services import FakeEncoder, FakeRetriever
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


async def test_with_read_replicas_people_ask_them_and_jobs_ask_the_writer(tmp_path: Path) -> None:
    async with FakeEncoder() as encoder, FakeRetriever() as replica, FakeRetriever() as writer:
        app = build(Settings(encoder_url=encoder.url, retriever_url=f"{replica.url},{writer.url}", state_dir=tmp_path))
        transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
        async with app.router.lifespan_context(app), httpx2.AsyncClient(transport=transport, base_url="http://gateway") as http:
            await http.get("/readyz")
            await http.get("/v1/items", params={"query": "du"})
            await http.get("/v1/items/dune")
            await http.post("/v1/recommendations", json={"user_id": "ann"})
            before = set(writer.calls)
            await http.post("/v1/items", content=b'{"id": "dune", "title": "Dune"}', headers={"content-type": "application/x-ndjson"})
            await http.get("/v1/items")
            await http.get("/v1/status")
            await http.put("/v1/spaces/popular", content=b"", headers={"content-type": "application/x-ndjson"})
            await http.get("/v1/spaces")
            await http.delete("/v1/items/dune")
    assert before == set()
    assert {"GET /readyz", "GET /v1/items", "GET /v1/items/dune", "POST /v1/retrieve"} <= set(replica.calls)
    assert {call for call in writer.calls if call.startswith(("PUT", "DELETE"))} == {
        "PUT /v1/items",
        "PUT /v1/spaces/popular",
        "DELETE /v1/items/dune",
    }
    assert {"GET /v1/items", "GET /v1/spaces"} <= set(writer.calls)
    assert not any(call.startswith(("PUT", "DELETE")) for call in replica.calls)


@pytest.mark.parametrize("url", ["ftp://retriever", "http://a,", "http://a,http://b,http://c", "http://a http://b"])
def test_an_address_of_the_retriever_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="retriever_url"):
        Settings(retriever_url=url)


async def test_each_service_has_connections_of_its_own(house: House) -> None:
    clients: tuple[Any, ...] = (house.gateway.encoder, house.gateway.expander, house.gateway.retriever)
    assert len({id(client.service._session) for client in clients}) == 3
