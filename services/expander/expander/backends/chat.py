"""One request to any OpenAI-compatible `/chat/completions` (vLLM, Ollama, llama.cpp, a cloud), and what came of it.

Knows nothing of what is asked, nor of who may ask when.
"""

import asyncio
import json
import time
from typing import Any

import aiohttp
from pydantic import SecretStr

from expander.errors import LlmFailed, LlmInvalid, LlmLate, LlmRefused, LlmUnreachable
from expander.metrics import ExpanderMetrics
from expander.readings import Completion, Prompt
from servicekit.deadline import Deadline

MAX_ANSWER_BYTES = 64 * 1024


class Chat:
    """Asks `model` (`default` when empty) at `url`, which ends in `/v1`.

    Giving up, by the deadline or by cancellation, closes the connection: vLLM then stops writing.
    """

    def __init__(
        self,
        url: str,
        model: str,
        session: aiohttp.ClientSession,
        metrics: ExpanderMetrics,
        *,
        api_key: SecretStr | None = None,
    ) -> None:
        self.url, self.model = url.rstrip("/"), model or "default"
        self._session, self._metrics, self._key = session, metrics.llm, api_key

    async def complete(self, prompt: Prompt, deadline: Deadline, *, formatted: bool) -> Completion:
        """The answer; `formatted` sends the prompt's `response_format`.

        Raises `LlmUnreachable`, `LlmLate`, `LlmRefused`, or `LlmInvalid` for what is no completion.
        """
        body = {
            "model": self.model,
            "messages": prompt.messages,
            "max_tokens": prompt.max_tokens,
            "temperature": prompt.temperature,
            "stream": False,
        }
        if formatted:
            body["response_format"] = prompt.response_format
        started, outcome = time.perf_counter(), "answered"
        try:
            answer = await self._send("POST", "/chat/completions", body, deadline)
        except LlmFailed as error:
            outcome = error.outcome
            raise
        except asyncio.CancelledError:
            outcome = "abandoned"
            raise
        finally:
            self._metrics.calls.labels(outcome).inc()
            self._metrics.seconds.observe(time.perf_counter() - started)
        return completion_of(answer)

    async def models(self, deadline: Deadline) -> tuple[str, ...]:
        """The names that are served there; raises `LlmFailed`."""
        return _names(await self._send("GET", "/models", None, deadline))

    async def _send(self, method: str, path: str, body: dict[str, Any] | None, deadline: Deadline) -> bytes:
        if (remaining := deadline.remaining_s) <= 0:
            raise LlmLate("the deadline had passed before the LLM was asked")
        headers = {"authorization": f"Bearer {self._key.get_secret_value()}"} if self._key else {}
        try:
            async with (
                asyncio.timeout(remaining),
                # A redirect would carry the key to a host that nobody configured.
                self._session.request(method, self.url + path, json=body, headers=headers, allow_redirects=False) as response,
            ):
                if response.status >= 300:
                    message = f"the LLM answered {response.status} ({response.reason})"
                    raise LlmRefused(message, response.status, _seconds(response.headers.get("retry-after")))
                return await _read(response)
        except TimeoutError as error:
            raise LlmLate(f"the LLM did not answer within {remaining * 1_000:.0f} ms") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:  # ValueError: a key or URL that HTTP can not carry
            raise LlmUnreachable(f"the LLM is not reachable ({type(error).__name__})") from error


def completion_of(body: bytes) -> Completion:
    """What a chat completion says; raises `LlmInvalid` for any other body. Usage that is missing or absurd counts as 0 tokens."""
    try:
        answer = json.loads(body)
        choice = answer["choices"][0]
        reason, content = choice.get("finish_reason"), choice["message"].get("content")
        if content is None:  # OpenAI says why in a member of its own
            content = choice["message"].get("refusal") or ""
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        raise LlmInvalid(f"the LLM's answer is not a chat completion ({type(error).__name__})") from error
    if not isinstance(content, str):
        raise LlmInvalid(f"the LLM's answer has no text but {type(content).__name__}")
    usage = answer.get("usage")
    counted = usage if isinstance(usage, dict) else {}
    return Completion(
        content,
        reason if isinstance(reason, str) else None,
        _tokens(counted.get("prompt_tokens")),
        _tokens(counted.get("completion_tokens")),
    )


async def _read(response: aiohttp.ClientResponse) -> bytes:
    content = bytearray()
    async for part in response.content.iter_any():
        content += part
        if len(content) > MAX_ANSWER_BYTES:
            raise LlmInvalid(f"the LLM's answer is longer than {MAX_ANSWER_BYTES} bytes")
    return bytes(content)


def _tokens(count: object) -> int:
    return count if type(count) is int and 0 <= count < 2**31 else 0


def _seconds(retry_after: str | None) -> float | None:
    """Of a Retry-After header in seconds (RFC 9110, 10.2.3); a date, which servers under load do not send, is not read."""
    return float(retry_after) if retry_after and retry_after.isascii() and retry_after.isdigit() and len(retry_after) < 7 else None


def _names(body: bytes) -> tuple[str, ...]:
    try:
        return tuple(str(model["id"]) for model in json.loads(body)["data"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise LlmInvalid(f"the LLM's answer is not a list of models ({type(error).__name__})") from error
