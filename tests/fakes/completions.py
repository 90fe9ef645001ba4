"""An OpenAI-compatible server that takes its time and counts tokens: a real one on 127.0.0.1, in a thread or, run as `vllm`, a process.

A prompt's tokens are its words and those of a template. Knows nothing of who measures it.
"""

import asyncio
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass
class Completions:
    """How the server behaves, and what it saw."""

    model: str = "fake"
    seconds: float = 0.005
    """How long an answer takes."""
    template_tokens: int = 5
    refuses: tuple[str, ...] = ()
    """Fields of a request that are answered with 400."""
    stops_after: int | None = None
    """Tokens after which the model ends its text, unless told to ignore that."""
    fails_each: int = 0
    """Every so-manieth request gets 503."""
    fails_after: int | None = None
    """So many requests are answered, every later one gets 503."""
    key: str = ""
    max_model_len: int | None = None
    first_texts: tuple[str, ...] = ()
    """Texts of the first tokens of a stream; part of a character has none."""
    body: bytes | None = None
    """Sent instead of a completion."""
    tells_usage: bool = True
    url: str = ""
    seen: list[dict[str, Any]] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0

    async def models(self, request: web.Request) -> web.Response:
        if not self._known(request):
            return web.Response(status=401)
        length = {} if self.max_model_len is None else {"max_model_len": self.max_model_len}
        return web.json_response({"object": "list", "data": [{"id": self.model, "object": "model", **length}]})

    async def chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.seen.append(body)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            if not self._known(request):
                return web.Response(status=401)
            if wrong := [name for name in self.refuses if name in body]:
                return web.json_response({"error": {"message": f"{wrong[0]} is not supported"}}, status=400)
            late = self.fails_after is not None and len(self.seen) > self.fails_after
            if late or (self.fails_each and len(self.seen) % self.fails_each == 0):
                return web.Response(status=503, text="full")
            await asyncio.sleep(self.seconds)
            return await self._answer(request, body)
        finally:
            self.in_flight -= 1

    async def _answer(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        if self.body is not None:
            return web.Response(body=self.body, content_type="application/json")
        asked = body.get("max_tokens") or body.get("max_completion_tokens")
        assert isinstance(asked, int)
        made = asked if self.stops_after is None or body.get("ignore_eos") else min(asked, self.stops_after)
        prompt = self.template_tokens + len(body["messages"][0]["content"].split())
        usage = {"prompt_tokens": prompt, "completion_tokens": made, "total_tokens": prompt + made}
        told = {"usage": usage} if self.tells_usage else {}
        if not body.get("stream"):
            message = {"role": "assistant", "content": "word " * made}
            return web.json_response({"choices": [{"index": 0, "message": message, "finish_reason": "length"}], **told})
        return await self._stream(request, made, told)

    async def _stream(self, request: web.Request, made: int, told: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}, *({"content": text} for text in self._texts(made))]
        for delta in deltas:
            await response.write(_event({"choices": [{"index": 0, "delta": delta}]}))
            await asyncio.sleep(self.seconds / 10)
        await response.write(_event({"choices": [], **told}) + b"data: [DONE]\n\n")
        return response

    def _texts(self, count: int) -> list[str]:
        return [*self.first_texts, *["word "] * count][:count]

    def _known(self, request: web.Request) -> bool:
        return not self.key or request.headers.get("authorization") == f"Bearer {self.key}"

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/v1/models", self.models)
        app.router.add_post("/v1/chat/completions", self.chat)
        return app


def _event(document: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(document).encode() + b"\n\n"


@contextmanager
def serving(server: Completions) -> Iterator[Completions]:
    """The server answers inside, from a thread, at `server.url`."""
    loop, runner = asyncio.new_event_loop(), web.AppRunner(server.app(), access_log=None, shutdown_timeout=0.1)

    async def start() -> None:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"

    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(start(), loop).result(10)
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def main(arguments: list[str]) -> None:
    """As `vllm serve MODEL ...`; a larger tensor-parallel size answers faster."""
    told = {name: arguments[arguments.index(name) + 1] for name in ("--served-model-name", "--port", "--tensor-parallel-size")}
    server = Completions(told["--served-model-name"], seconds=0.02 / int(told["--tensor-parallel-size"]))
    web.run_app(server.app(), host="127.0.0.1", port=int(told["--port"]), print=lambda *_: None, access_log=None)


if __name__ == "__main__":
    main(sys.argv[1:])
