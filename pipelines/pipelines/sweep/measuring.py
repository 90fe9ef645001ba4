"""Measures endpoints cell by cell; what is in the journal is not measured again. Knows nothing of figures and reports."""

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import aiohttp

from pipelines.sweep import closed_loop, prompts
from pipelines.sweep.client import Client
from pipelines.sweep.endpoints import Endpoint
from pipelines.sweep.faults import EndpointUnusable
from pipelines.sweep.grid import Load, Pace
from pipelines.sweep.journal import Journal
from pipelines.sweep.prompts import Prompts
from pipelines.sweep.runs import Answer, Failed, Run


@dataclass
class Taken:
    """Runs by endpoint and load, and what could not be measured with the reason."""

    runs: list[tuple[Endpoint, Load, Run]] = field(default_factory=list)
    unusable: dict[str, str] = field(default_factory=dict)


def cell(endpoint: Endpoint, load: Load, pace: Pace) -> dict[str, Any]:
    """What a cell is known by: not its address or price, which do not change what was measured."""
    known = {"endpoint": endpoint.name, "model": endpoint.model, "tensor_parallel": endpoint.tensor_parallel}
    return {**known, **asdict(load), **asdict(pace)}


def missing(endpoint: Endpoint, loads: Sequence[Load], pace: Pace, journal: Journal) -> bool:
    """Whether any cell of this endpoint is still to be measured."""
    return any(journal.find(cell(endpoint, load, pace)) is None for load in loads)


async def measure(
    endpoint: Endpoint, loads: Sequence[Load], pace: Pace, journal: Journal, taken: Taken, tell: Callable[[str], None] = print
) -> None:
    """Adds a run for each load to `taken`, and to the journal what is new."""
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=None)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        meeting = _Meeting(endpoint, session, pace)
        for load in loads:
            key = cell(endpoint, load, pace)
            run = journal.find(key)
            if run is None:
                try:
                    client, made = await meeting.ready(load)
                except EndpointUnusable as unusable:
                    taken.unusable[f"{endpoint.name}, {load}"] = str(unusable)
                    tell(f"{endpoint.name}, {load}: {unusable}")
                    continue
                run = await closed_loop.measured(_asking(client, made, pace), load.concurrency, pace, client.fixed)
                journal.add(key, run)
            taken.runs.append((endpoint, load, run))
            tell(_told(endpoint, load, run))


class _Meeting:
    """An endpoint that is met when its first cell is to be measured, and its prompts by length; what failed once is not tried again."""

    def __init__(self, endpoint: Endpoint, session: aiohttp.ClientSession, pace: Pace) -> None:
        self._endpoint, self._session, self._pace = endpoint, session, pace
        self._client: Client | EndpointUnusable | None = None
        self._prompts: dict[int, Prompts | EndpointUnusable] = {}
        self._draw = random.Random()

    async def ready(self, load: Load) -> tuple[Client, Prompts]:
        """Raises `EndpointUnusable`."""
        if self._client is None:
            self._client = await self._met()
        if isinstance(self._client, EndpointUnusable):
            raise self._client
        assert load.prompt_tokens is not None
        if load.prompt_tokens not in self._prompts:
            self._prompts[load.prompt_tokens] = await self._made(self._client, load.prompt_tokens)
        found = self._prompts[load.prompt_tokens]
        if isinstance(found, EndpointUnusable):
            raise found
        return self._client, found

    async def _met(self) -> Client | EndpointUnusable:
        try:
            client = Client(self._endpoint, self._session, self._pace.timeout_s, ttft=self._pace.ttft)
            await client.meet(self._pace.output_tokens)
        except EndpointUnusable as unusable:
            return unusable
        return client

    async def _made(self, client: Client, tokens: int) -> Prompts | EndpointUnusable:
        if client.longest and tokens + self._pace.output_tokens > client.longest:
            return EndpointUnusable(
                f"{tokens} prompt tokens and {self._pace.output_tokens} of the answer exceed the model's {client.longest}. "
                "Lower --prompt-tokens or --output-tokens, or serve it with a longer context."
            )

        async def count(text: str) -> int:
            return (await client.ask(text, 1)).prompt_tokens

        try:
            return await prompts.of_length(tokens, count, self._draw)
        except EndpointUnusable as unusable:
            return unusable
        except Failed as failed:
            return EndpointUnusable(f"prompts of {tokens} tokens could not be counted: {failed}")


def _asking(client: Client, made: Prompts, pace: Pace) -> Callable[[], Awaitable[Answer]]:
    return lambda: client.ask(made.next(), pace.output_tokens)


def _told(endpoint: Endpoint, load: Load, run: Run) -> str:
    failed = "".join(f", {count} failed ({cause})" for cause, count in run.failures.items())
    return f"{endpoint.name}, {load}: {len(run.answers)} answers, {run.per_second:.2f}/s{failed}"
