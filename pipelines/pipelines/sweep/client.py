"""One OpenAI-compatible endpoint as the sweep asks it: completions of a fixed length, timed. Knows nothing of loads."""

import asyncio
import json
import time
from typing import Any

import aiohttp

from pipelines.sweep.endpoints import Endpoint
from pipelines.sweep.faults import EndpointUnusable
from pipelines.sweep.runs import Answer, Failed

FORMS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("ignore_eos and min_tokens", ("ignore_eos", "min_tokens"), "max_tokens"),
    ("ignore_eos", ("ignore_eos",), "max_tokens"),
    ("max_tokens alone", (), "max_tokens"),
    ("max_completion_tokens alone", (), "max_completion_tokens"),
)
"""How a completion's length is fixed, the surest first: vLLM takes `ignore_eos` and `min_tokens`, which OpenAI's own API refuses."""
REFUSED = (400, 422)
SHOWN = 300


class Client:
    """Asks `endpoint`; `meet` comes first. Every answer is timed from sending to its last byte."""

    def __init__(self, endpoint: Endpoint, session: aiohttp.ClientSession, timeout_s: float, *, ttft: bool) -> None:
        self.endpoint, self.longest = endpoint, 0
        self.fixed, self._extra, self._limit = FORMS[0]
        self._session, self._timeout_s, self._ttft = session, timeout_s, ttft
        self._headers = {"authorization": f"Bearer {_key(endpoint)}"} if endpoint.key_file else {}

    async def meet(self, output_tokens: int) -> None:
        """Finds out whether the model is served, its longest context, and how to fix the completion's length.

        Raises `EndpointUnusable`.
        """
        await self._find_model()
        refusal = ""
        for self.fixed, self._extra, self._limit in FORMS:
            try:
                answer = await self.ask("Name a book.", output_tokens)
            except Failed as failed:
                refusal = str(failed)
                if failed.cause in [f"status {status}" for status in REFUSED]:
                    continue
                break
            if answer.completion_tokens != output_tokens:
                self.fixed += f" (not obeyed: {answer.completion_tokens} of {output_tokens} tokens)"
            return
        raise EndpointUnusable(f"{self.endpoint.url} gives no completion of {self.endpoint.model}: {refusal}")

    async def ask(self, text: str, output_tokens: int) -> Answer:
        """A completion of `text`; raises `Failed`."""
        body: dict[str, Any] = {
            "model": self.endpoint.model,
            "messages": [{"role": "user", "content": text}],
            "temperature": 0.0,
            self._limit: output_tokens,
            **{name: True if name == "ignore_eos" else output_tokens for name in self._extra},
        }
        if self._ttft:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        started = time.perf_counter()
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._session.post(
                    self.endpoint.url + "/chat/completions", json=body, headers=self._headers, allow_redirects=False
                ) as response,
            ):
                if response.status != 200:
                    said = (await response.content.read(SHOWN)).decode(errors="replace")
                    raise Failed(f"status {response.status}", said)
                return await _streamed(response, started) if self._ttft else _whole(await response.read(), started)
        except TimeoutError:
            raise Failed("timeout", f"no answer within {self._timeout_s:g} s") from None
        except aiohttp.ClientConnectorError as error:
            raise Failed("unreachable", str(error)) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:  # ValueError: a line or header that HTTP can not carry
            raise Failed("disconnected", f"{type(error).__name__} {error}".strip()) from None

    async def _find_model(self) -> None:
        """Raises `EndpointUnusable` where the list of models is there and lacks ours; a server without a list is taken at its word."""
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._session.get(self.endpoint.url + "/models", headers=self._headers) as response,
            ):
                if response.status in (401, 403):
                    raise EndpointUnusable(f"{self.endpoint.url} answers {response.status}. Give `key_file`, a file with its API key.")
                rows = (await response.json(content_type=None))["data"] if response.status == 200 else []
                served = {row["id"]: row for row in rows}
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise EndpointUnusable(f"{self.endpoint.url} is not reachable: {type(error).__name__} {error}".strip()) from None
        except (ValueError, KeyError, TypeError):
            served = {}
        if served and self.endpoint.model not in served:
            names = ", ".join(map(str, served))
            raise EndpointUnusable(f"{self.endpoint.url} does not serve {self.endpoint.model!r}; it serves {names}. Name one of those.")
        length = served.get(self.endpoint.model, {}).get("max_model_len")
        self.longest = length if isinstance(length, int) else 0


def _key(endpoint: Endpoint) -> str:
    assert endpoint.key_file is not None
    try:
        return endpoint.key_file.read_text().strip()
    except OSError as error:
        raise EndpointUnusable(f"key_file {endpoint.key_file} can not be read: {error.strerror}.") from None


def _whole(body: bytes, started: float) -> Answer:
    took = 1_000 * (time.perf_counter() - started)
    try:
        document = json.loads(body)
        document["choices"][0]  # an error may come with status 200, and is no completion even where it tells tokens
        return _answer(took, document["usage"], None)
    except (ValueError, LookupError, TypeError):
        raise Failed("no completion", body[:SHOWN].decode(errors="replace")) from None


async def _streamed(response: aiohttp.ClientResponse, started: float) -> Answer:
    """Reads server-sent events to their end; the last one with `usage` tells the tokens."""
    first, usage = None, None
    async for line in response.content:
        if not line.startswith(b"data:") or (data := line[5:].strip()) == b"[DONE]":
            continue
        try:
            event = json.loads(data)
            usage = event.get("usage") or usage
            if first is None and any(_holds_token(choice["delta"]) for choice in event.get("choices", ())):
                first = 1_000 * (time.perf_counter() - started)
        except (ValueError, LookupError, TypeError, AttributeError):
            raise Failed("no completion", data[:SHOWN].decode(errors="replace")) from None
    took = 1_000 * (time.perf_counter() - started)
    try:
        return _answer(took, usage, first)
    except (LookupError, TypeError, ValueError):
        raise Failed("no completion", "the stream ended without usage") from None


def _holds_token(delta: dict[str, Any]) -> bool:
    """Whether it stands for a token: one with text, or one without yet (part of a character), but not the opening with the role alone."""
    text = delta.get("content")
    return bool(text) or (text == "" and "role" not in delta)


def _answer(took: float, usage: Any, first: float | None) -> Answer:
    """Raises `Failed` for a completion of no token, which would only look fast."""
    made = Answer(round(took, 3), int(usage["prompt_tokens"]), int(usage["completion_tokens"]), first and round(first, 3))
    if made.completion_tokens < 1:
        raise Failed("empty completion", "0 completion tokens")
    return made
