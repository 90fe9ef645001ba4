"""Refusals where requests are parsed, over real connections."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI, Request, Response
from starlette.datastructures import State

from servicekit import app as servicekit_app
from servicekit.app import Route
from servicekit.entrance import entrance
from servicekit.metrics import HttpMetrics
from servicekit.settings import ServiceSettings

Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def echo(request: Request) -> Response:
    """Says what was sent."""
    return Response(await request.body())


def gate(state: State, coming: int) -> str | None:
    """Shut, or open for so many at once."""
    return f"{coming} are coming." if coming >= state.room else None


def application(folder: Path) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield

    async def ready() -> None:
        pass

    routes = (Route("POST", "/echo", echo, gate=gate, plain=True),)
    settings = ServiceSettings(port=1, state_dir=folder)
    built = servicekit_app.build(
        "retriever", settings, routes=routes, statuses={}, ready=ready, lifespan=lifespan, metrics=HttpMetrics("retriever")
    )
    built.state.room = 0
    return built


@pytest.fixture
def app(tmp_path: Path) -> FastAPI:
    return application(tmp_path)


@asynccontextmanager
async def connected(app: FastAPI) -> AsyncIterator[Client]:
    config = uvicorn.Config(app, log_config=None, access_log=False, port=0, http=entrance(app.state.traffic), loop="asyncio")
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    try:
        port = server.servers[0].sockets[0].getsockname()[1]
        client = await asyncio.open_connection("127.0.0.1", port)
        yield client
        client[1].close()
    finally:
        await server.shutdown()


def request(body: bytes, *more: str) -> bytes:
    lines = ("POST /echo HTTP/1.1", "host: x", f"content-length: {len(body)}", *more, "", "")
    return "\r\n".join(lines).encode() + body


async def answer(client: Client) -> tuple[int, dict[str, str], bytes]:
    head = (await client[0].readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
    return int(head[0].split()[1]), headers, await client[0].readexactly(int(headers["content-length"]))


async def test_a_refusal_says_why_and_when_to_come_again_and_keeps_the_connection(app: FastAPI) -> None:
    async with connected(app) as client:
        client[1].write(request(b"first", "x-request-id: mine"))
        status, headers, body = await answer(client)
        assert (status, headers["retry-after"], headers["x-request-id"]) == (429, "1", "mine")
        assert headers["content-type"] == "application/problem+json"
        problem = json.loads(body)
        assert (problem["detail"], problem["instance"], problem["request_id"]) == ("0 are coming.", "/echo", "mine")
        app.state.room = 1
        client[1].write(request(b"second"))
        assert (await answer(client))[::2] == (200, b"second")
    counted = app.state.metrics.registry.get_sample_value
    assert counted("retriever_requests_total", {"method": "POST", "route": "/echo", "status": "429"}) == 1


async def test_a_body_that_comes_after_its_refusal_is_passed_over(app: FastAPI) -> None:
    async with connected(app) as client:
        whole = request(b"x" * 100_000)
        client[1].write(whole[:200])
        assert (await answer(client))[0] == 429
        app.state.room = 1
        client[1].write(whole[200:] + request(b"next"))
        assert (await answer(client))[::2] == (200, b"next")


async def test_a_caller_that_wants_no_more_is_hung_up_on(app: FastAPI) -> None:
    async with connected(app) as client:
        client[1].write(request(b"only", "connection: close"))
        status, headers, _ = await answer(client)
        assert (status, headers["connection"]) == (429, "close")
        assert await client[0].read() == b""


async def test_those_that_are_let_in_at_once_are_counted_before_they_begin(app: FastAPI) -> None:
    app.state.room = 2
    async with connected(app) as client:
        others = [await asyncio.open_connection(*client[1].get_extra_info("peername")) for _ in range(4)]
        for connection in others:
            connection[1].write(request(b"now"))
        statuses = [(await answer(connection))[0] for connection in others]
        assert set(statuses) <= {200, 429}
        assert 200 in statuses
        assert app.state.traffic.coming == 0
        for connection in others:
            connection[1].close()


async def test_requests_behind_one_that_is_worked_on_keep_their_order(app: FastAPI) -> None:
    app.state.room = 10
    async with connected(app) as client:
        client[1].write(request(b"one") + request(b"two") + request(b"three"))
        assert [(await answer(client))[2] for _ in range(3)] == [b"one", b"two", b"three"]
    app.state.room = 1
    async with connected(app) as client:
        client[1].write(request(b"one") + request(b"two"))
        assert (await answer(client))[::2] == (200, b"one")  # the other waits behind it, or is refused after it
        assert (await answer(client))[0] in {200, 429}
