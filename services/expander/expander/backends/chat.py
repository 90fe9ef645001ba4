"""Topics from an LLM behind any OpenAI-compatible `/chat/completions` (vLLM, Ollama, llama.cpp, a cloud). Knows nothing of caches.

What the server does with `response_format` can not be relied on (some refuse it, some accept and ignore it), so each answer is checked
here, and asked for once more when it does not hold.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp
from pydantic import SecretStr

from expander import parsing, prompts
from expander.errors import LlmBusy, LlmFailed, LlmInvalid, LlmLate, LlmRefused, LlmUnreachable
from expander.metrics import ExpanderMetrics
from servicekit import logs
from servicekit.deadline import Deadline

LOG = logs.get(__name__)
MAX_ANSWER_BYTES = 64 * 1024
ATTEMPTS = 2
FORMAT_REFUSED = (400, 422)
CHECK_S = 2.0


class Chat:
    """Asks `model` at `url`; at most `permits` expansions at once, one more raises `LlmBusy`.

    `formatted` asks by `response_format`, until the server refuses it.
    """

    name = "llm"

    def __init__(
        self,
        url: str,
        model: str,
        session: aiohttp.ClientSession,
        metrics: ExpanderMetrics,
        *,
        api_key: SecretStr | None = None,
        max_tokens: int = 160,
        temperature: float = 0.0,
        permits: int = 16,
        formatted: bool = True,
    ) -> None:
        self.model = model or "default"
        self._url, self._session, self._metrics, self._key = url.rstrip("/"), session, metrics, api_key
        self._options = {"model": self.model, "max_tokens": max_tokens, "temperature": temperature, "stream": False}
        self._permits, self._in_use = permits, 0
        self._formatted = formatted

    async def propose(self, interest: str, most: int, deadline: Deadline) -> tuple[str, ...]:
        """Three to `most` topics; raises a kind of `LlmFailed`."""
        with self._permit():
            invalid: LlmInvalid | None = None
            for _ in range(ATTEMPTS):
                try:
                    answer = await self._answer(prompts.messages(interest), deadline)
                    return parsing.topics_of(parsing.content_of(answer), interest, most)
                except LlmInvalid as error:
                    self._metrics.invalid_answers.inc()
                    LOG.info("llm_answer_invalid", reason=str(error))
                    invalid = error
            assert invalid is not None
            raise invalid

    async def check(self) -> None:
        """Raises `LlmFailed` when the API does not list its models within two seconds."""
        await self._send("GET", "/models", None, Deadline.after_ms(CHECK_S * 1_000))

    @contextmanager
    def _permit(self) -> Iterator[None]:
        if self._in_use >= self._permits:
            raise LlmBusy(f"all {self._permits} permits for the LLM are taken; raise EXPANDER_LLM_CONCURRENCY if it can take more")
        self._in_use += 1
        self._metrics.permits_in_use.set(self._in_use)
        try:
            yield
        finally:
            self._in_use -= 1
            self._metrics.permits_in_use.set(self._in_use)

    async def _answer(self, messages: list[dict[str, str]], deadline: Deadline) -> bytes:
        """The body of a completion. A server that refuses the response format, and only that, is asked without it from then on."""
        plain = {**self._options, "messages": messages}
        if self._formatted:
            try:
                return await self._completion({**plain, "response_format": prompts.RESPONSE_FORMAT}, deadline)
            except LlmRefused as error:
                if error.status not in FORMAT_REFUSED:
                    raise
        answer = await self._completion(plain, deadline)
        if self._formatted:
            self._formatted = False
            LOG.warning("response_format_refused", model=self.model)
        return answer

    async def _completion(self, body: dict[str, Any], deadline: Deadline) -> bytes:
        started, outcome = time.perf_counter(), "answered"
        try:
            return await self._send("POST", "/chat/completions", body, deadline)
        except LlmFailed as error:
            outcome = error.outcome
            raise
        except asyncio.CancelledError:
            outcome = "abandoned"
            raise
        finally:
            self._metrics.llm_calls.labels(outcome).inc()
            self._metrics.llm_seconds.observe(time.perf_counter() - started)

    async def _send(self, method: str, path: str, body: dict[str, Any] | None, deadline: Deadline) -> bytes:
        if (remaining := deadline.remaining_s) <= 0:
            raise LlmLate("the deadline had passed before the LLM was asked")
        headers = {"authorization": f"Bearer {self._key.get_secret_value()}"} if self._key else {}
        try:
            async with (
                asyncio.timeout(remaining),
                # A redirect would carry the key to a host that nobody configured.
                self._session.request(method, self._url + path, json=body, headers=headers, allow_redirects=False) as response,
            ):
                if response.status >= 300:
                    raise LlmRefused(f"the LLM answered {response.status} ({response.reason})", response.status)
                return await _read(response)
        except TimeoutError as error:
            raise LlmLate(f"the LLM did not answer within {remaining * 1_000:.0f} ms") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:  # ValueError: a key or URL that HTTP can not carry
            raise LlmUnreachable(f"the LLM is not reachable ({type(error).__name__})") from error


async def _read(response: aiohttp.ClientResponse) -> bytes:
    content = bytearray()
    async for part in response.content.iter_any():
        content += part
        if len(content) > MAX_ANSWER_BYTES:
            raise LlmInvalid(f"the LLM's answer is longer than {MAX_ANSWER_BYTES} bytes")
    return bytes(content)
