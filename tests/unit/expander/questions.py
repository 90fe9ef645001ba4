"""A question as the tests of asking put it, and the real `Llm` over a fake server."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from tests.fakes.llm import FakeLlm

from expander.asking import Llm
from expander.backends.chat import Chat
from expander.metrics import ExpanderMetrics
from expander.readings import Answered, Completion, Prompt, Reading
from expander.runtimes.table import PROFILES
from expander.settings import LlmLimits, Price
from servicekit import client
from servicekit.deadline import Deadline

PROMPT = Prompt("question-1", ({"role": "user", "content": "?"},), {"type": "json_schema"}, max_tokens=60, temperature=0.0, tokens=140)
Topics = tuple[str, ...]


def read(completion: Completion) -> Reading[Topics]:
    """Topics of a JSON object; total."""
    try:
        topics = json.loads(completion.text)["topics"]
        return Reading(tuple(map(str, topics)), "accepted")
    except (ValueError, LookupError, TypeError):
        return Reading(None, "not_json", completion.text[:20])


@asynccontextmanager
async def asking(
    llm: FakeLlm, *, profile: str = "external", prices: dict[str, Price] | None = None, columns: dict[str, Any] | None = None, **limits: Any
) -> AsyncIterator["Asking"]:
    metrics = ExpanderMetrics()
    async with client.connections(0) as session:
        made = Llm(
            Chat(llm.url, "fake", session, metrics),
            replace(PROFILES[profile], **(columns or {})),
            LlmLimits(**limits),
            prices or {},
            metrics,
        )
        try:
            yield Asking(made, metrics)
        finally:
            await made.close()


class Asking:
    """An `Llm`, and what it counted."""

    def __init__(self, llm: Llm, metrics: ExpanderMetrics) -> None:
        self.llm, self.metrics = llm, metrics

    async def ask(self, within_s: float = 5.0, *, prompt: Prompt = PROMPT, bulk: bool = False, caller: str = "") -> Answered[Topics]:
        return await self.llm.ask(prompt, read, Deadline.after_ms(within_s * 1_000), bulk=bulk, caller=caller)

    async def outcomes(self, number: int, within_s: float = 5.0) -> list[str]:
        """Of so many questions at once: `answered`, or the outcome of what was raised."""
        results = await asyncio.gather(*(self.ask(within_s) for _ in range(number)), return_exceptions=True)
        return ["answered" if isinstance(result, Answered) else getattr(result, "outcome", repr(result)) for result in results]

    def count(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


async def until(holds: Callable[[], Any], seconds: float = 5.0) -> None:
    """Returns when it holds; fails when it does not come to."""
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.005)
