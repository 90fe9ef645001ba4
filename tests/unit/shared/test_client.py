"""Calls between services: every failure has one of three names, and none outlasts the deadline."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from contracts.encoder import EncoderIdentity
from servicekit.client import Late, Refused, ServiceClient, Unreachable, connections
from servicekit.deadline import Deadline

GOOD = {"fingerprint": "f", "model": "m", "backend": "b", "dimension": 2, "max_tokens": 3}


async def answer(request: web.Request) -> web.StreamResponse:
    match request.match_info["how"]:
        case "good":
            return web.json_response({**GOOD, "added_by_a_newer_version": 1})
        case "stalled":
            await asyncio.sleep(30)
        case "cut":
            assert request.transport
            request.transport.abort()
    return web.json_response({"detail": "no"}, status=503)


@asynccontextmanager
async def service() -> AsyncIterator[ServiceClient]:
    app = web.Application()
    app.router.add_get("/{how}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        async with connections() as session:
            yield ServiceClient("encoder", f"http://127.0.0.1:{runner.addresses[0][1]}", session)
    finally:
        await runner.cleanup()


async def ask(client: ServiceClient, how: str, milliseconds: float = 5_000) -> bytes:
    body, _ = await client.call("GET", f"/{how}", Deadline.after_ms(milliseconds))
    return body


async def test_an_answer_is_its_body_and_headers() -> None:
    async with service() as client:
        body, headers = await client.call("GET", "/good", Deadline.after_ms(5_000))
    assert EncoderIdentity.model_validate_json(body).model == "m"  # the field that a newer version added is ignored
    assert headers["content-type"].startswith("application/json")


@pytest.mark.parametrize(("how", "error"), [("stalled", Late), ("cut", Unreachable), ("refused", Refused)])
async def test_every_failure_has_its_name(how: str, error: type[Exception]) -> None:
    async with service() as client:
        with pytest.raises(error, match="encoder"):
            await ask(client, how, 200 if how == "stalled" else 5_000)


async def test_a_passed_deadline_calls_nobody() -> None:
    async with connections() as session:
        with pytest.raises(Late, match="had passed"):
            await ask(ServiceClient("encoder", "http://127.0.0.1:9", session), "good", 0)


async def test_nobody_listening_is_unreachable() -> None:
    async with connections() as session:
        with pytest.raises(Unreachable):
            await ask(ServiceClient("encoder", "http://127.0.0.1:9", session), "good")


@pytest.mark.parametrize(("kept", "opened"), [(True, 1), (False, 3)])
async def test_calls_share_a_connection_unless_each_is_to_find_a_replica_of_its_own(kept: bool, opened: int) -> None:
    callers: set[tuple[str, int]] = set()

    async def who(request: web.Request) -> web.Response:
        assert request.transport
        callers.add(request.transport.get_extra_info("peername"))
        return web.json_response(GOOD)

    app = web.Application()
    app.router.add_get("/who", who)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with connections(1, kept=kept) as session:
            client = ServiceClient("encoder", f"http://127.0.0.1:{runner.addresses[0][1]}", session)
            for _ in range(3):
                await ask(client, "who")
    finally:
        await runner.cleanup()
    assert len(callers) == opened
