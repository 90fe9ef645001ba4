"""What is sent to the LLM, and what comes back as what."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from tests.fakes import llm as fake
from tests.fakes.llm import FakeLlm
from tests.unit.expander.questions import PROMPT, until

from expander.backends.chat import MAX_ANSWER_BYTES, Chat, completion_of
from expander.errors import LlmFailed, LlmInvalid, LlmLate, LlmRefused, LlmUnreachable
from expander.metrics import ExpanderMetrics
from expander.readings import Completion
from servicekit import client
from servicekit.deadline import Deadline


@pytest.fixture
async def chat(llm: FakeLlm) -> AsyncIterator[Chat]:
    async with client.connections(0) as session:
        yield Chat(llm.url + "/", "fake", session, ExpanderMetrics())


def soon(seconds: float = 5.0) -> Deadline:
    return Deadline.after_ms(seconds * 1_000)


async def test_a_request_carries_the_prompt_and_its_limits(chat: Chat, llm: FakeLlm) -> None:
    await chat.complete(PROMPT, soon(), formatted=True)
    await chat.complete(PROMPT, soon(), formatted=False)
    sent = {"model": "fake", "messages": list(PROMPT.messages), "max_tokens": 60, "temperature": 0.0, "stream": False}
    assert llm.requests == [{**sent, "response_format": PROMPT.response_format}, sent]


async def test_an_answer_tells_its_text_its_end_and_its_tokens(chat: Chat, llm: FakeLlm) -> None:
    llm.plays(fake.says("text", "length", (12, 7)), fake.says("text", tokens=None))
    assert await chat.complete(PROMPT, soon(), formatted=True) == Completion("text", "length", 12, 7)
    assert await chat.complete(PROMPT, soon(), formatted=True) == Completion("text", "stop", 0, 0)


FAILURES: dict[str, tuple[fake.Step, type[LlmFailed]]] = {
    "500": (fake.fails(500), LlmRefused),
    "401": (fake.fails(401), LlmRefused),
    "redirect": (fake.redirects("/v1/chat/completions"), LlmRefused),
    "hangs up": (fake.hangs_up, LlmUnreachable),
    "stalls": (fake.stalls, LlmLate),
    "not JSON": (fake.sends(b"<html>502 Bad Gateway</html>"), LlmInvalid),
    "not a completion": (fake.sends(b'{"error": "overloaded"}'), LlmInvalid),
    "endless": (fake.sends(b" " * (MAX_ANSWER_BYTES + 1)), LlmInvalid),
    "a list as text": (fake.says(["a"]), LlmInvalid),
}


@pytest.mark.parametrize("name", FAILURES)
async def test_each_way_to_fail_has_its_error(chat: Chat, llm: FakeLlm, name: str) -> None:
    step, kind = FAILURES[name]
    llm.plays(step)
    with pytest.raises(kind) as raised:
        await chat.complete(PROMPT, soon(0.2), formatted=True)
    assert type(raised.value) is kind
    assert len(llm.requests) == 1


async def test_nobody_there_is_unreachable_and_no_time_is_late(chat: Chat, unused_tcp_port: int) -> None:
    with pytest.raises(LlmLate, match="had passed"):
        await chat.complete(PROMPT, soon(-1), formatted=True)
    chat.url = f"http://127.0.0.1:{unused_tcp_port}/v1"
    with pytest.raises(LlmUnreachable):
        await chat.complete(PROMPT, soon(), formatted=True)


async def test_a_refusal_tells_its_status_and_when_to_come_back(chat: Chat, llm: FakeLlm) -> None:
    llm.plays(fake.fails(429, retry_after="3"), fake.fails(503, retry_after="Wed, 21 Oct 2026 07:28:00 GMT"))
    seen = []
    for _ in range(2):
        with pytest.raises(LlmRefused) as refused:
            await chat.complete(PROMPT, soon(), formatted=True)
        seen.append((refused.value.status, refused.value.retry_after_s))
    assert seen == [(429, 3.0), (503, None)]


async def test_giving_up_by_deadline_or_cancellation_reaches_the_server(chat: Chat, llm: FakeLlm) -> None:
    llm.plays(fake.stalls)
    with pytest.raises(LlmLate):
        await chat.complete(PROMPT, soon(0.05), formatted=True)
    await until(lambda: llm.in_flight == 0)
    asked = asyncio.create_task(chat.complete(PROMPT, soon(), formatted=True))
    await until(lambda: llm.in_flight == 1)
    asked.cancel()
    await until(lambda: llm.in_flight == 0)
    assert asked.cancelled()
    assert llm.answered == 0


async def test_the_key_is_sent_and_never_told(llm: FakeLlm) -> None:
    llm.plays(fake.fails(401), fake.hangs_up)
    told: list[Any] = []
    with structlog.testing.capture_logs() as logged:
        async with client.connections(0) as session:
            chat = Chat(llm.url, "fake", session, ExpanderMetrics(), api_key=SecretStr("sk-secret"))
            for _ in range(2):
                with pytest.raises(LlmFailed) as raised:
                    await chat.complete(PROMPT, soon(), formatted=True)
                told.append((raised.value, raised.value.__cause__, vars(chat)))
    assert llm.authorizations == ["Bearer sk-secret"] * 2
    assert "sk-secret" not in str(told) + str(logged)


async def test_a_key_that_http_can_not_carry_is_a_failure_of_the_llm(llm: FakeLlm) -> None:
    async with client.connections(0) as session:
        chat = Chat(llm.url, "fake", session, ExpanderMetrics(), api_key=SecretStr("two\nlines"))
        with pytest.raises(LlmUnreachable) as raised:
            await chat.complete(PROMPT, soon(), formatted=True)
    assert "two" not in str(raised.value)
    assert llm.requests == []


async def test_no_key_sends_no_authorization(chat: Chat, llm: FakeLlm) -> None:
    await chat.complete(PROMPT, soon(), formatted=True)
    assert llm.authorizations == [None]


async def test_the_models_are_listed(chat: Chat, llm: FakeLlm) -> None:
    assert await chat.models(soon()) == ("fake",)


async def test_calls_are_counted_by_outcome(llm: FakeLlm) -> None:
    metrics = ExpanderMetrics()
    async with client.connections(0) as session:
        chat = Chat(llm.url, "", session, metrics)
        llm.plays(fake.lists("a"), fake.sends(b"{}"), fake.fails(500), fake.hangs_up, fake.stalls)
        for _ in range(4):
            with contextlib.suppress(LlmFailed):
                await chat.complete(PROMPT, soon(), formatted=True)
        asked = asyncio.create_task(chat.complete(PROMPT, soon(), formatted=True))
        await until(lambda: llm.in_flight == 1)
        asked.cancel()
        await asyncio.wait({asked})
    counts = {
        outcome: metrics.registry.get_sample_value("expander_llm_calls_total", {"outcome": outcome})
        for outcome in ("answered", "refused", "unreachable", "abandoned")
    }
    assert counts == {"answered": 2, "refused": 1, "unreachable": 1, "abandoned": 1}
    assert metrics.registry.get_sample_value("expander_llm_seconds_count") == 5
    assert llm.requests[0]["model"] == "default"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["choices", "message", "content", "usage", "x"]), inner),
    max_leaves=12,
)
NEARLY = st.fixed_dictionaries(
    {
        "choices": st.lists(
            st.fixed_dictionaries({"message": st.fixed_dictionaries({"content": JSON}) | JSON}, optional={"finish_reason": JSON})
        )
    },
    optional={"usage": st.fixed_dictionaries({"prompt_tokens": JSON, "completion_tokens": JSON}) | JSON},
)


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()) | NEARLY.map(lambda value: json.dumps(value).encode()))
def test_any_body_is_a_completion_or_invalid(body: bytes) -> None:
    try:
        completion = completion_of(body)
    except LlmInvalid as error:
        assert error.cause == "not_completion"  # noqa: PT017 - there may be none
        return
    assert isinstance(completion.text, str)
    assert completion.prompt_tokens >= 0 <= completion.completion_tokens


def test_why_openai_says_that_it_will_not_answer_is_a_text() -> None:
    body = {"choices": [{"message": {"content": None, "refusal": "I can't help with that."}, "finish_reason": "stop"}]}
    assert completion_of(json.dumps(body).encode()).text == "I can't help with that."


@pytest.mark.parametrize("count", [-1, 1.5, "7", True, 10**12, None])
def test_absurd_counts_of_tokens_count_as_none(count: object) -> None:
    body = {"choices": [{"message": {"content": "x"}}], "usage": {"prompt_tokens": count, "completion_tokens": 3}}
    assert completion_of(json.dumps(body).encode()) == Completion("x", None, 0, 3)
