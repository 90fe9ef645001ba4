"""A misbehaving OpenAI-compatible chat endpoint: a real server on 127.0.0.1 that answers by script.

Each request to `/v1/chat/completions` takes the next step of the script; the last step repeats. The question of the canary (a schema of
that name) is answered apart, by `canary`. With a `capacity` it works on so many at once, each for `latency_s`, and the others wait in a
queue without bound, as vLLM's. Knows nothing of the expander.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

GOOD = ("court intrigue", "galactic empires", "military science fiction", "first contact", "dynastic sagas")
Step = Callable[["FakeLlm", dict[str, Any]], Awaitable[web.StreamResponse]]


PROMPT_TOKENS, COMPLETION_TOKENS = 100, 40


def completion(
    content: object, finish_reason: str = "stop", tokens: tuple[int, int] | None = (PROMPT_TOKENS, COMPLETION_TOKENS)
) -> web.Response:
    message = {"role": "assistant", "content": content}
    body: dict[str, Any] = {
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}],
    }
    if tokens:
        body["usage"] = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)}
    return web.json_response(body)


def says(content: object, finish_reason: str = "stop", tokens: tuple[int, int] | None = (PROMPT_TOKENS, COMPLETION_TOKENS)) -> Step:
    """A completion with this text, and these tokens as its usage."""

    async def step(_: "FakeLlm", __: dict[str, Any]) -> web.StreamResponse:
        return completion(content, finish_reason, tokens)

    return step


def lists(*topics: object) -> Step:
    """A completion with these topics as the JSON that was asked for."""
    return says(json.dumps({"topics": topics}))


def fails(status: int, text: str = "<ERROR: skipped>", **headers: str) -> Step:
    """An HTTP error with a body that is not a completion; `retry_after="3"` becomes a header."""

    async def step(_: "FakeLlm", __: dict[str, Any]) -> web.StreamResponse:
        return web.Response(status=status, text=text, headers={name.replace("_", "-"): value for name, value in headers.items()})

    return step


def sends(body: bytes) -> Step:
    """200 with any bytes."""

    async def step(_: "FakeLlm", __: dict[str, Any]) -> web.StreamResponse:
        return web.Response(body=body, content_type="application/json")

    return step


def redirects(location: str) -> Step:
    async def step(_: "FakeLlm", __: dict[str, Any]) -> web.StreamResponse:
        return web.Response(status=307, headers={"location": location})

    return step


async def stalls(llm: "FakeLlm", _: dict[str, Any]) -> web.StreamResponse:
    """Nothing until `llm.released` is set, then the good topics."""
    await llm.released.wait()
    return completion(json.dumps({"topics": GOOD}))


async def hangs_up(_: "FakeLlm", __: dict[str, Any]) -> web.StreamResponse:
    raise asyncio.CancelledError  # aiohttp closes the connection without an answer


async def refuses_response_format(_: "FakeLlm", body: dict[str, Any]) -> web.StreamResponse:
    """400 whenever `response_format` is there, as servers without structured output do."""
    if "response_format" in body:
        return web.json_response({"error": {"message": "response_format is not supported"}}, status=400)
    return completion(json.dumps({"topics": GOOD}))


def after(seconds: float, step: Step) -> Step:
    """The step, that much later."""

    async def later(llm: "FakeLlm", body: dict[str, Any]) -> web.StreamResponse:
        await asyncio.sleep(seconds)
        return await step(llm, body)

    return later


async def obeys_schema(_: "FakeLlm", body: dict[str, Any]) -> web.StreamResponse:
    """Writes what the canary's schema demands, as a server with a grammar does."""
    (word,) = body["response_format"]["json_schema"]["schema"]["properties"]["word"]["enum"]
    return completion(json.dumps({"word": word}), tokens=None)


def is_canary(body: dict[str, Any]) -> bool:
    return bool(body.get("response_format", {}).get("json_schema", {}).get("name") == "canary")


@dataclass
class FakeLlm:
    """The server's script and what it saw."""

    url: str = ""
    script: list[Step] = field(default_factory=lambda: [lists(*GOOD)])
    requests: list[dict[str, Any]] = field(default_factory=list)
    """Bodies of all chat requests, in order."""
    authorizations: list[str | None] = field(default_factory=list)
    callers: list[Any] = field(default_factory=list)
    """The other end of each request's connection."""
    tokens: int = 0
    """What the metrics say was written."""
    in_flight: int = 0
    most_in_flight: int = 0
    released: asyncio.Event = field(default_factory=asyncio.Event)
    canary: Step = obeys_schema
    canaries: list[dict[str, Any]] = field(default_factory=list)
    """Bodies of the requests of the canary, which are not among the others."""
    capacity: int = 0
    """Requests worked on at once; 0: all."""
    latency_s: float = 0.0
    answered: int = 0
    """Requests that were not given up by who asked."""
    _places: asyncio.Semaphore | None = None

    def plays(self, *steps: Step) -> None:
        """Replaces the script."""
        self.script = list(steps)

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if is_canary(body):
            self.canaries.append(body)
            return await self.canary(self, body)
        self.requests.append(body)
        self.authorizations.append(request.headers.get("authorization"))
        self.callers.append(request.transport and request.transport.get_extra_info("peername"))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
            async with self._place():
                await asyncio.sleep(self.latency_s)
                answer = await step(self, body)
            self.answered += 1
            return answer
        finally:
            self.in_flight -= 1

    def _place(self) -> AbstractAsyncContextManager[None]:
        if not self.capacity:
            return nullcontext()
        self._places = self._places or asyncio.Semaphore(self.capacity)
        return self._places

    async def _metrics(self, _: web.Request) -> web.StreamResponse:
        names = ("vllm:generation_tokens_total", "vllm:prompt_tokens_total")
        lines = [f'# TYPE {name} counter\n{name}{{model_name="fake",engine="0"}} {float(self.tokens)}' for name in names]
        return web.Response(text="\n".join([*lines, "vllm:num_requests_running 1.0"]))

    async def _models(self, _: web.Request) -> web.StreamResponse:
        return web.json_response({"object": "list", "data": [{"id": "fake", "object": "model"}]})


@asynccontextmanager
async def fake_llm(port: int = 0) -> AsyncIterator[FakeLlm]:
    """The server, listening on `port`, or on a free one."""
    llm = FakeLlm()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", llm._chat)
    app.router.add_get("/v1/models", llm._models)
    app.router.add_get("/metrics", llm._metrics)
    # As vLLM, it stops working on what nobody waits for any more.
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    llm.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        yield llm
    finally:
        llm.released.set()
        await runner.cleanup()
