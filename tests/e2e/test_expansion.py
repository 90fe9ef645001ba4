"""A never-seen interest: answered within its deadline without the LLM, and better the second time. The four services, and a slow LLM."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from aiohttp import web
from tests.fakes import llm as fake
from tests.fakes.llm import FakeLlm

from pipelines.suite import Suite

INTEREST = "I loved a slow-burning mystery set in a monastery"
TOPICS = ("historical mystery", "medieval monks", "philosophical detective novel", "murder in an abbey", "modern classics")
LOOKED_AT = 20
WANTED = "historical-mystery"
"""What the catalogue's readers call such books; neither the interest nor a topic of the LLM is written so."""
DEADLINE_MS, LLM_S = 1_000, 1.5


@contextmanager
def slow_llm() -> Iterator[FakeLlm]:
    """An LLM in a thread of its own that takes longer than anybody waits."""

    async def step(_: FakeLlm, __: dict[str, Any]) -> web.StreamResponse:
        await asyncio.sleep(LLM_S)
        return await fake.lists(*TOPICS)(_, __)

    started, stopped, found = threading.Event(), asyncio.Event(), list[FakeLlm]()

    async def serve() -> None:
        async with fake.fake_llm() as llm:
            llm.plays(step)
            found.append(llm)
            started.set()
            await stopped.wait()

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert started.wait(10)
    try:
        yield found[0]
    finally:
        loop.call_soon_threadsafe(stopped.set)
        thread.join(10)
        loop.close()


@pytest.fixture
def with_llm(suite: Suite, tmp_path: Path) -> Iterator[tuple[httpx2.Client, FakeLlm]]:
    """A gateway and an expander with the slow LLM, before the suite's encoder and retriever."""
    with ExitStack() as stack:
        llm = stack.enter_context(slow_llm())
        settings = {
            "EXPANDER_LLM_URL": llm.url,
            "EXPANDER_LLM_MODEL": "slow",
            "EXPANDER_TOPICS_PATH": str(suite.topics_path),
            "EXPANDER_ENCODER_URL": suite.url("encoder"),
            "GATEWAY_ENCODER_URL": suite.url("encoder"),
            "GATEWAY_RETRIEVER_URL": suite.url("retriever"),
        }
        own = Suite(tmp_path, settings)
        stack.callback(own.stop)
        own.start("expander", "gateway")
        own.wait_ready("expander", "gateway")
        yield stack.enter_context(httpx2.Client(base_url=own.gateway_url, timeout=30)), llm


def ask(gateway: httpx2.Client, **more: Any) -> tuple[dict[str, Any], float]:
    """The answer and how long it took, in milliseconds."""
    started = time.perf_counter()
    answer = gateway.post("/v1/recommendations", json={"interests": [INTEREST], "k": LOOKED_AT, "deadline_ms": DEADLINE_MS, **more})
    assert answer.status_code == 200, answer.text
    return dict(answer.json()), (time.perf_counter() - started) * 1_000


def sources(answer: dict[str, Any]) -> set[str]:
    return {topic["source"] for topic in answer["topics"]}


def wanted(answer: dict[str, Any]) -> int:
    """How many of the first books are of the wanted kind."""
    return sum(WANTED in item["attributes"].get("genres", []) for item in answer["items"][:LOOKED_AT])


def settled(gateway: httpx2.Client) -> dict[str, Any]:
    """The first answer that no LLM is asked behind."""
    for _ in range(100):
        answer, _ = ask(gateway)
        if not answer["topics_pending"]:
            return answer
        time.sleep(0.1)
    pytest.fail("the LLM's topics never came")


def test_a_new_interest_is_answered_in_time_and_better_on_the_second_call(with_llm: tuple[httpx2.Client, FakeLlm]) -> None:
    gateway, llm = with_llm
    first, took_ms = ask(gateway)
    assert took_ms < DEADLINE_MS
    assert took_ms < LLM_S * 1_000  # so nobody waited for the LLM
    assert first["topics_pending"]
    assert "llm" not in sources(first)
    assert first["degraded"] == []
    second = settled(gateway)
    assert sources(second) == {"llm"}
    assert {topic["text"] for topic in second["topics"]} <= set(TOPICS)
    assert wanted(second) >= wanted(first) + 3
    assert len(llm.requests) == 1


def test_who_waits_gets_the_topics_with_the_first_answer_and_off_never_asks(with_llm: tuple[httpx2.Client, FakeLlm]) -> None:
    gateway, llm = with_llm
    off, _ = ask(gateway, expansion="off")
    assert not off["topics_pending"]
    assert llm.requests == []
    waited, _ = ask(gateway, expansion="wait", deadline_ms=20_000)
    assert sources(waited) == {"llm"}
    late, _ = ask(gateway, interests=["gothic castles on a stormy coast"], expansion="wait")
    assert [one["stage"] for one in late["degraded"]] == ["expander"]


def test_an_erased_user_leaves_no_topics_behind(with_llm: tuple[httpx2.Client, FakeLlm]) -> None:
    gateway, llm = with_llm
    ask(gateway, user_id="ann", expansion="wait", deadline_ms=20_000)
    assert sources(ask(gateway)[0]) == {"llm"}
    assert gateway.delete("/v1/users/ann").status_code == 204
    assert ask(gateway)[0]["topics_pending"]  # it is asked for anew
    assert sources(settled(gateway)) == {"llm"}
    assert len(llm.requests) == 2
