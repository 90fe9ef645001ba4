"""What the tests ask an expander, and what they hold its answers to. Knows nothing of who stands behind it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
from tests.bench.vllm_server import metric
from tests.fixtures.llm.tiny_llama import WORDS


async def expand(client: httpx2.AsyncClient, *interests: str, **more: Any) -> list[dict[str, Any]]:
    """The expansions, in order; every answer is 200, whatever the LLM does."""
    answer = await client.post("/v1/expand", json={"interests": interests, "mode": "wait", "deadline_ms": 30_000, **more})
    assert answer.status_code == 200, answer.text
    return list(answer.json()["expansions"])


def assert_topics(expansion: dict[str, Any]) -> None:
    """They are the LLM's: three to five that differ, of at most 60 characters, and of words that the model knows."""
    topics = expansion["topics"]
    assert (expansion["source"], expansion["model"], expansion["fallback_reason"]) == ("llm", "tiny", None), expansion
    assert 3 <= len(topics) == len(set(topics)) <= 5
    assert max(map(len, topics)) <= 60
    assert {word for topic in topics for word in topic.split()} <= set(WORDS)


async def counted(client: httpx2.AsyncClient, name: str, **labels: str) -> float:
    """Of a metric of the expander: the sum of its samples with these labels; 0 where there is none yet."""
    try:
        return metric((await client.get("/metrics")).text, name, **labels)
    except KeyError:
        return 0.0


async def canary_answered(client: httpx2.AsyncClient) -> str:
    """Waits for the canary, which takes longer and longer pauses while there is no server; what it found of the schema."""

    async def known() -> bool:
        return await found(client) != "unknown"

    await until(known, 60)
    return await found(client)


async def found(client: httpx2.AsyncClient) -> str:
    """What the canary found of the schema."""
    return str((await client.get("/v1/backend")).json()["structured_output"]["found"])


async def until(happened: Callable[[], Awaitable[bool]], timeout_s: float = 30.0) -> float:
    """Returns the seconds that it took; raises `TimeoutError`."""
    started = time.monotonic()
    async with asyncio.timeout(timeout_s):
        while not await happened():
            await asyncio.sleep(0.05)
    return time.monotonic() - started
