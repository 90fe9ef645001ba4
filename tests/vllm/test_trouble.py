"""A vLLM that hangs, is killed at work, comes back, or is not there yet: every caller is answered in time all the same."""

import asyncio
import time
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from tests.bench.vllm_server import MODEL, START_S, Server
from tests.vllm.artefact import STAND_IN
from tests.vllm.asking import assert_topics, canary_answered, counted, expand, found, until
from tests.vllm.conftest import Expander

from expander.backends.chat import Chat
from expander.errors import LlmLate
from expander.metrics import ExpanderMetrics
from expander.readings import Prompt
from servicekit.client import connections
from servicekit.deadline import Deadline

MARGIN_S = 0.5
"""What an answer may take beyond its deadline where a vLLM starts beside it on the same two cores."""

LONG_TOKENS = 1_500
"""Seconds of work for the tiny Llama."""
WRITTEN = "vllm:generation_tokens_total"


def assert_catalogue(expansion: dict[str, Any], reason: str) -> None:
    assert (expansion["source"], set(expansion["topics"])) == ("cooccurrence", set(STAND_IN))
    assert reason in expansion["fallback_reason"]


async def timed(client: httpx2.AsyncClient, *interests: str, **more: Any) -> tuple[list[dict[str, Any]], float]:
    """The expansions, and the seconds that they took."""
    started = time.monotonic()
    return await expand(client, *interests, **more), time.monotonic() - started


async def open_breaker(client: httpx2.AsyncClient) -> bool:
    return await counted(client, "expander_llm_breaker_state", state="open") == 1


async def written_for(vllm: Server, chat: Chat, prompt: Prompt, after_s: float) -> float:
    """Tokens that vLLM writes for a call that is given up; its worker is paused from `after_s` until it has seen that.

    Paused, because a model as small as this writes so fast that vLLM sees nobody leave meanwhile.
    """

    async def idle() -> bool:
        return await asyncio.to_thread(vllm.value, "vllm:num_requests_running") == 0

    before = vllm.value(WRITTEN)
    call = asyncio.create_task(chat.complete(prompt, Deadline.after_ms((after_s + 1) * 1_000), formatted=True))
    await asyncio.sleep(after_s)
    with vllm.hanging():
        await asyncio.wait({call})
        await asyncio.sleep(1)
    if not isinstance(call.exception(), LlmLate):
        return LONG_TOKENS
    await chat.complete(replace(prompt, max_tokens=1), Deadline.after_ms(30_000), formatted=True)
    await until(idle, 15)
    return vllm.value(WRITTEN) - before - 1


async def test_a_call_given_up_is_aborted_in_vllm(vllm: Server) -> None:
    items = {"type": "array", "items": {"type": "string", "maxLength": 60}, "minItems": 400}
    forced = {"type": "json_schema", "json_schema": {"name": "long", "strict": True, "schema": items}}
    prompt = Prompt("long", ({"role": "user", "content": "Write a lot."},), forced, LONG_TOKENS, 0.2, 8)
    tried: list[float] = []
    async with connections(0, kept=False) as session:
        chat = Chat(vllm.url, MODEL, session, ExpanderMetrics())
        for after_s in (0.5, 1.0, 0.2, 2.0, 0.1):  # begun and not at its end: when that is, the machine says
            tried.append(await written_for(vllm, chat, prompt, after_s))
            if 0 < tried[-1] < LONG_TOKENS:
                return
    pytest.fail(f"it wrote {tried} tokens; some of {LONG_TOKENS} were to be written, and not all")


async def test_while_it_hangs_callers_get_the_catalogue_by_their_deadlines(expander: Expander, vllm: Server) -> None:
    async with expander(llm_limits={"timeout_s": 1.0}) as client:
        await canary_answered(client)
        with vllm.hanging():
            expansions, took_s = await timed(client, *(f"a mystery, hanging {place}" for place in range(3)), deadline_ms=400)
            assert took_s < 0.4 + MARGIN_S

            async def given_up() -> bool:
                return await counted(client, "expander_llm_calls_total", outcome="late") == 3

            await until(given_up)
        for expansion in expansions:
            assert_catalogue(expansion, "did not answer within")
            assert expansion["pending"], "the call went on behind the answer"
        [expansion] = await expand(client, "a mystery after it hung")
        assert_topics(expansion)


async def test_killed_mid_request_callers_get_the_catalogue_until_it_is_back(expander: Expander, vllm: Server) -> None:
    async with expander() as client:
        await canary_answered(client)
        with vllm.hanging():
            calls = asyncio.create_task(timed(client, *(f"a mystery, dying {place}" for place in range(8)), deadline_ms=10_000))

            async def at_work() -> bool:
                return await counted(client, "expander_llm_permits_in_use") == 8

            await until(at_work)
            vllm.kill()
        expansions, took_s = await calls
        assert took_s < 10
        for expansion in expansions:
            assert_catalogue(expansion, "not reachable")
        assert await open_breaker(client)
        [[expansion], took_s] = await timed(client, "a mystery of the dead", deadline_ms=10_000)
        assert_catalogue(expansion, "it is left alone")
        assert took_s < MARGIN_S
        assert await counted(client, "expander_llm_unsent_total", reason="shut") == 1

        vllm.start()
        await asyncio.to_thread(vllm.wait_ready)
        asked = iter(range(10_000))

        async def back() -> bool:
            [expansion] = await expand(client, f"a mystery of the risen {next(asked)}")
            return bool(expansion["source"] == "llm")

        await until(back, 15)
        assert await canary_answered(client) == "honoured"
        assert await counted(client, "expander_llm_breaker_state", state="closed") == 1


async def test_started_before_vllm_it_answers_at_once_and_finds_the_schema_later(expander: Expander, vllm: Server) -> None:
    vllm.kill()
    async with expander() as client:
        [[expansion], took_s] = await timed(client, "a mystery too early", deadline_ms=2_000)
        assert_catalogue(expansion, "not reachable")
        assert took_s < 2
        assert await found(client) == "unknown"
        vllm.start()
        slowest_s, early = 0.0, 0
        async with asyncio.timeout(START_S):
            while expansion["source"] != "llm":
                early += 1
                [[expansion], took_s] = await timed(client, f"a mystery too early {early}", deadline_ms=2_000)
                slowest_s = max(slowest_s, took_s)
                await asyncio.sleep(0.25)
        assert early > 10, "it was asked while vLLM started"
        assert slowest_s < 2 + MARGIN_S
        assert_topics(expansion)
        assert await canary_answered(client) == "honoured"
