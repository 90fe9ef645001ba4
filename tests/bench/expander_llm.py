"""An LLM that takes as long as it is told and costs next to no processor: `python -m tests.bench.expander_llm --port 9000`.

A process of its own that speaks HTTP/1.1 and the OpenAI chat API as far as the expander uses them. Topics follow from the question, so that
different interests get different ones; an interest that holds the word `unusable` gets none, one that holds `wrapped` gets them in prose.
Up to `capacity` questions are worked on at once, each for `latency_s`; the others wait without bound, as in vLLM. A question whose caller
hangs up is dropped. `POST /control` changes these numbers, `GET /stats` tells what was seen. Knows nothing of the expander.
"""

import argparse
import asyncio
import json
from collections import deque
from dataclasses import asdict, dataclass
from hashlib import blake2b
from typing import Any, cast

import uvloop

WORDS = (
    *("amber", "ancient", "arctic", "baroque", "bitter", "bronze", "brutal", "coastal", "crimson", "distant", "faded", "feral"),
    *("frozen", "gilded", "golden", "hollow", "iron", "jagged", "lunar", "marble", "misty", "nomadic", "northern", "pastoral"),
    *("polar", "quiet", "rural", "sacred", "silent", "solar", "tidal", "velvet"),
)
KINDS = (
    *("alchemists", "archives", "bakeries", "beekeepers", "bridges", "caravans", "cartographers", "cathedrals", "clockmakers", "comets"),
    *("convents", "courtrooms", "dynasties", "embassies", "expeditions", "ferries", "gardens", "glaciers", "harbours", "heists"),
    *("lighthouses", "locksmiths", "manuscripts", "markets", "orchards", "pilgrims", "rebellions", "rivalries", "shipwrecks", "smugglers"),
    *("vineyards", "volcanoes"),
)
"""Whatever the five topics are, each has a word of both."""
UNUSABLE, WRAPPED = b"unusable", b"wrapped"
PROMPT_TOKENS, COMPLETION_TOKENS = 420, 40
MODELS = b'{"object": "list", "data": [{"id": "fake", "object": "model"}]}'


@dataclass
class Numbers:
    """The first two can be set; `most_held` counts those that wait too; `last` is the body of the latest question."""

    capacity: int = 0
    latency_s: float = 0.0
    calls: int = 0
    canaries: int = 0
    answered: int = 0
    dropped: int = 0
    held: int = 0
    most_held: int = 0
    last: str = ""


def topics(question: str) -> list[str]:
    """Five that differ, the same for the same question."""
    drawn = blake2b(question.encode("utf-8", "surrogatepass"), digest_size=10).digest()
    first, step = drawn[8], 2 * drawn[9] + 1  # odd, so that no kind comes twice
    return [f"{WORDS[drawn[at] % 32]} {KINDS[(first + at * step) % 32]}" for at in range(5)]


def said(body: bytes) -> str:
    """The text of the answer."""
    asked: dict[str, Any] = json.loads(body)
    schema = asked.get("response_format", {}).get("json_schema", {})
    if schema.get("name") == "canary":
        return json.dumps({"word": schema["schema"]["properties"]["word"]["enum"][0]})
    if UNUSABLE in body:
        return "Certainly! Here is what comes to mind."
    listed = json.dumps({"topics": topics(asked["messages"][-1]["content"])})
    return f"Sure, here it is:\n```json\n{listed}\n```\nEnjoy!" if WRAPPED in body else listed


def response(body: bytes, status: str = "200 OK") -> bytes:
    return b"HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (status.encode(), len(body), body)


def completion(body: bytes) -> bytes:
    message = {"index": 0, "message": {"role": "assistant", "content": said(body)}, "finish_reason": "stop"}
    usage = {
        "prompt_tokens": PROMPT_TOKENS,
        "completion_tokens": COMPLETION_TOKENS,
        "total_tokens": PROMPT_TOKENS + COMPLETION_TOKENS,
    }
    return response(json.dumps({"object": "chat.completion", "choices": [message], "usage": usage}).encode())


class Model:
    """Who is worked on, and who waits."""

    def __init__(self, numbers: Numbers) -> None:
        self.numbers = numbers
        self._working = 0
        self._waiting: deque[Caller] = deque()

    def take(self, caller: "Caller") -> None:
        numbers = self.numbers
        numbers.calls += 1
        numbers.held += 1
        numbers.most_held = max(numbers.most_held, numbers.held)
        if numbers.capacity and self._working >= numbers.capacity:
            self._waiting.append(caller)
        else:
            self._work(caller)

    def drop(self, caller: "Caller") -> None:
        """Its caller hung up."""
        self.numbers.dropped += 1
        self.numbers.held -= 1
        if caller.timer is None:
            self._waiting.remove(caller)
        else:
            caller.timer.cancel()
            self._next()

    def _work(self, caller: "Caller") -> None:
        self._working += 1
        caller.timer = asyncio.get_running_loop().call_later(self.numbers.latency_s, self._end, caller)

    def _end(self, caller: "Caller") -> None:
        self.numbers.answered += 1
        self.numbers.held -= 1
        caller.answer(completion(caller.asked))
        self._next()

    def _next(self) -> None:
        self._working -= 1
        while self._waiting and self._working < self.numbers.capacity:
            self._work(self._waiting.popleft())


class Caller(asyncio.Protocol):
    """One connection, one question at a time."""

    def __init__(self, model: Model) -> None:
        self._model, self._in = model, bytearray()
        self._transport: asyncio.Transport
        self.timer: asyncio.TimerHandle | None = None
        self.asked = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance

    def connection_lost(self, exc: Exception | None) -> None:
        if self.asked:
            self._model.drop(self)

    def data_received(self, data: bytes) -> None:
        self._in += data
        if (end := self._in.find(b"\r\n\r\n")) < 0:
            return
        head = bytes(self._in[:end]).lower()
        length = int(head.split(b"\r\ncontent-length:", 1)[1].split(b"\r\n", 1)[0]) if b"\r\ncontent-length:" in head else 0
        if len(self._in) >= end + 4 + length:
            body = bytes(self._in[end + 4 : end + 4 + length])
            del self._in[: end + 4 + length]
            self._asked(head.split(b" ", 2)[1], body)

    def answer(self, whole: bytes) -> None:
        self.asked, self.timer = b"", None
        self._transport.write(whole)

    def _asked(self, path: bytes, body: bytes) -> None:
        numbers = self._model.numbers
        if path == b"/v1/chat/completions" and b'"canary"' in body:
            numbers.canaries += 1
            self.answer(completion(body))
        elif path == b"/v1/chat/completions":
            self.asked, numbers.last = body, body.decode()
            self._model.take(self)
        elif path == b"/v1/models":
            self.answer(response(MODELS))
        elif path in (b"/control", b"/stats"):
            for name, value in json.loads(body or b"{}").items():
                setattr(numbers, name, value)
            self.answer(response(json.dumps(asdict(numbers)).encode()))
        else:
            self.answer(response(b'{"error": "no such path"}', "404 Not Found"))


async def serve(port: int, numbers: Numbers) -> None:
    model = Model(numbers)
    server = await asyncio.get_running_loop().create_server(lambda: Caller(model), "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--capacity", type=int, default=0, help="questions worked on at once; 0: all")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds of one question")
    chosen = parser.parse_args()
    uvloop.run(serve(chosen.port, Numbers(chosen.capacity, chosen.latency)))


if __name__ == "__main__":
    main()
