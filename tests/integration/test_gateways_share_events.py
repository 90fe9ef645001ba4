"""Two gateway processes on one PostgreSQL: what one stores changes what the other answers, and an outage costs neither its service."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.fakes.services import FakeEncoder, FakeExpander, FakeRetriever
from tests.postgresql import PASSWORD, Server, free_port

from servicekit.settings import environment_with


async def eventually(claim: Callable[[], Awaitable[bool]], within_s: float = 30) -> None:
    async with asyncio.timeout(within_s):
        while not await claim():
            await asyncio.sleep(0.1)


async def answers(http: httpx2.AsyncClient, path: str = "/readyz") -> bool:
    try:
        return (await http.get(path)).status_code == 200
    except httpx2.TransportError:
        return False


@asynccontextmanager
async def gateway(folder: Path, **settings: str) -> AsyncIterator[httpx2.AsyncClient]:
    """A gateway process that keeps its log in `folder`; stops with status 0."""
    folder.mkdir()
    port = free_port()
    environment = environment_with(GATEWAY_PORT=str(port), GATEWAY_STATE_DIR=str(folder), GATEWAY_LOG_LEVEL="DEBUG", **settings)
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", "gateway", env=environment, stdout=log, stderr=log)
        try:
            async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as http:
                await eventually(lambda: answers(http))
                yield http
        finally:
            process.terminate()
            assert await process.wait() == 0


@pytest.fixture
async def settings() -> AsyncIterator[dict[str, str]]:
    """Of a gateway with a small catalogue behind it."""
    async with AsyncExitStack() as stack:
        encoder = await stack.enter_async_context(FakeEncoder())
        expander = await stack.enter_async_context(FakeExpander())
        retriever = await stack.enter_async_context(FakeRetriever())
        for popularity, item in enumerate(("dune", "foundation", "hyperion")):
            retriever.add(item, item.title(), popularity)
        retriever.neighbours = {"dune": {"foundation": 0.9, "hyperion": 0.8}}
        yield {"GATEWAY_ENCODER_URL": encoder.url, "GATEWAY_EXPANDER_URL": expander.url, "GATEWAY_RETRIEVER_URL": retriever.url}


async def recommend(http: httpx2.AsyncClient, user: str) -> dict[str, Any]:
    answer = await http.post("/v1/recommendations", json={"user_id": user})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def stages(answer: dict[str, Any]) -> list[str]:
    return [degradation["stage"] for degradation in answer["degraded"]]


async def test_what_one_gateway_stores_changes_what_another_answers(postgresql: Server, settings: dict[str, str], tmp_path: Path) -> None:
    settings |= {"GATEWAY_PROFILES_URL": postgresql.database()}
    async with gateway(tmp_path / "one", **settings) as one, gateway(tmp_path / "two", **settings) as two:
        before = await recommend(two, "ann")
        assert (before["rung"], stages(before)) == (0, [])
        assert "dune" in {item["id"] for item in before["items"]}
        assert (await one.post("/v1/events", json={"user_id": "ann", "item_id": "dune"})).json()["stored"] == 1
        after = await recommend(two, "ann")
        assert (after["rung"], stages(after)) == (2, [])
        assert "dune" not in {item["id"] for item in after["items"]}
        assert (await two.get("/v1/users/ann")).json()["liked_items"] == ["dune"]
        assert (await two.get("/v1/status")).json()["events"] == 1
        assert (await two.delete("/v1/users/ann")).status_code == 204
        assert (await one.get("/v1/users/ann")).status_code == 404
    assert not (tmp_path / "one" / "profiles.sqlite").exists()


async def test_an_outage_of_the_store_degrades_answers_and_takes_no_gateway_away(
    postgresql: Server, settings: dict[str, str], tmp_path: Path
) -> None:
    settings |= {"GATEWAY_PROFILES_URL": postgresql.database()}
    async with gateway(tmp_path / "one", **settings) as one:
        await one.post("/v1/events", json={"user_id": "ann", "item_id": "dune"})
        await asyncio.to_thread(postgresql.end)
        async with gateway(tmp_path / "two", **settings) as two:  # which starts during the outage
            for http in (one, two):
                assert (await http.get("/readyz")).status_code == 200
                answer = await recommend(http, "ann")
                assert (answer["rung"], stages(answer)) == (0, ["profiles"])
                assert answer["items"]
                refused = await http.post("/v1/events", json={"user_id": "ann", "item_id": "hyperion"})
                assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
                assert refused.json()["type"].endswith("profiles-unavailable")
                row = await http.post(
                    "/v1/events", content=b'{"user_id":"a","item_id":"b"}', headers={"content-type": "application/x-ndjson"}
                )
                assert row.json()["status"] == "refused"
                assert (await http.get("/v1/status")).json()["events"] is None
            await asyncio.to_thread(postgresql.start)
            for http in (one, two):

                async def whole(http: httpx2.AsyncClient = http) -> bool:
                    return stages(await recommend(http, "ann")) == []

                await eventually(whole, 10)
                assert (await recommend(http, "ann"))["rung"] == 2
    for name in ("one", "two"):
        log = (tmp_path / name / "log").read_text()
        assert "profiles_reached" in log
        assert PASSWORD not in log


async def test_a_gateway_refuses_to_start_with_a_url_that_is_none_and_does_not_repeat_it(tmp_path: Path) -> None:
    environment = environment_with(GATEWAY_PROFILES_URL=f"mysql://me:{PASSWORD}@host/events", GATEWAY_STATE_DIR=str(tmp_path))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    told, _ = await process.communicate()
    assert process.returncode == 1
    assert b"GATEWAY_PROFILES_URL" in told
    assert PASSWORD.encode() not in told
