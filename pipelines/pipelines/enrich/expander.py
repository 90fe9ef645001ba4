"""The expander's API as the job uses it: items in, what an LLM wrote of them out; tries again what may pass. Knows nothing of files."""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import httpx2
from pydantic import ValidationError

from contracts.expander import Enrichment as Enriched
from contracts.expander import EnrichResponse, ExpanderIdentity
from contracts.problems import Problem
from pipelines.enrich.faults import ExpanderRefused
from pipelines.enrich.fields import Enrichment, Item

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 20.0
PASSING = {429, 500, 502, 503, 504}
"""Overloaded, starting, or behind a balancer without a replica: tried again as long as patience lasts."""
DIVISIBLE = {413, 422}
"""The body is too large or an item can not be read: the items are sent by halves until those at fault stand alone."""
NOT_CONFIGURED = "/problems/llm-not-configured"
Reply = TypeVar("Reply", EnrichResponse, ExpanderIdentity)
UNLIMITED = httpx2.Limits(max_connections=None)
"""The job says how many requests are in flight."""


@dataclass(frozen=True)
class Author:
    """Who writes: the LLM's name and the version of the prompt."""

    model: str
    prompt_version: str


@dataclass(frozen=True)
class Unwritten:
    """Why there is nothing of an item."""

    reason: str


Outcome = Enrichment | Unwritten


class Expander:
    """A connection to the expander at `url`; an asynchronous context manager. `retries` counts what was asked again.

    One request may take `deadline_s`; what may pass is asked again until `patience_s` went by without a single item done.
    """

    def __init__(self, url: str, *, deadline_s: float, patience_s: float) -> None:
        self.url, self.retries = url, 0
        self._deadline_s, self._patience_s = deadline_s, patience_s
        self._http = httpx2.AsyncClient(base_url=url, timeout=deadline_s + 10, trust_env=False, limits=UNLIMITED)

    async def author(self) -> Author:
        """Waits, as long as patience lasts, for an expander that is still starting. Raises `ExpanderRefused` also where it has no LLM."""
        told = _read(ExpanderIdentity, await self._answered("GET", "/v1/backend"), self.url)
        if told.backend != "llm" or not told.enrichment_version:
            raise ExpanderRefused(f"{self.url} has no LLM to write with (its backend is {told.backend}); set EXPANDER_LLM_URL there.")
        return Author(told.model, told.enrichment_version)

    async def enrich(self, items: Sequence[Item]) -> list[Outcome]:
        """One outcome per item, in order; what the LLM could not do now is asked again. Raises `ExpanderRefused`."""
        done: dict[int, Outcome] = {}
        tried, ends = 0, time.monotonic() + self._patience_s
        while True:
            asked = [at for at in range(len(items)) if at not in done]
            answers = await self._once([items[at] for at in asked])
            done |= {at: _outcome(answer) for at, answer in zip(asked, answers, strict=True) if not answer.retry}
            if len(done) == len(items):
                return [done[at] for at in range(len(items))]
            now = time.monotonic()
            if any(not answer.retry for answer in answers):
                tried, ends = 0, now + self._patience_s
            if now >= ends:
                why = next(answer.reason for answer in answers if answer.retry)
                raise ExpanderRefused(f"{self.url} could not ask its LLM for {self._patience_s:g} s: {why}. Start again to go on.")
            await asyncio.sleep(min(_pause_s(tried), max(0.0, ends - now)))
            tried += 1
            self.retries += 1

    async def _once(self, items: Sequence[Item]) -> list[Enriched]:
        body = {"items": list(items), "deadline_ms": 1_000 * self._deadline_s}
        response = await self._answered("POST", "/v1/enrich", json=body)
        if response.status_code in DIVISIBLE:
            if len(items) > 1:
                middle = len(items) // 2
                return await self._once(items[:middle]) + await self._once(items[middle:])
            return [Enriched(id=items[0]["id"], reason=f"the expander does not take it: {_told(response)}")]
        answered = _read(EnrichResponse, response, self.url).enrichments
        if [one.id for one in answered] != [item["id"] for item in items]:
            raise ExpanderRefused(f"{self.url} answered {len(answered)} enrichments of other items than the {len(items)} that were sent.")
        return list(answered)

    async def _answered(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """The answer with status 200, or one that halves may mend; after as many tries as patience allows."""
        tried, ends = 0, 0.0
        while True:
            response, reason = await self._sent(method, path, **options)
            if response is not None and response.status_code in {200} | DIVISIBLE:
                return response
            passing = response is None or (response.status_code in PASSING and NOT_CONFIGURED not in response.text)
            now = time.monotonic()
            ends = ends or now + self._patience_s
            if not passing or now >= ends:
                raise ExpanderRefused(f"{method} {self.url}{path} {_after(tried)}: {reason}")
            await asyncio.sleep(min(_pause_s(tried, response), ends - now))
            tried += 1
            self.retries += 1

    async def _sent(self, method: str, path: str, **options: Any) -> tuple[httpx2.Response | None, str]:
        """The answer, none where the connection failed; and what is wrong with it."""
        try:
            response = await self._http.request(method, path, **options)
        except httpx2.TransportError as error:
            return None, f"{type(error).__name__} {error}".strip()
        return response, "" if response.status_code == 200 else f"{response.status_code} {_told(response)}"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()


def _outcome(answer: Enriched) -> Outcome:
    if answer.reason is None and answer.tags and answer.description and answer.model and answer.prompt_version:
        return Enrichment(answer.tags, answer.description, answer.model, answer.prompt_version)
    return Unwritten(answer.reason or "the expander answered an enrichment that lacks a part")


def _read(kind: type[Reply], response: httpx2.Response, url: str) -> Reply:
    try:
        return kind.model_validate_json(response.content)
    except ValidationError as error:
        raise ExpanderRefused(f"{url} answered what is no {kind.__name__}: {error.errors()[0]['msg']}.") from error


def _told(response: httpx2.Response) -> str:
    """The detail of a problem, where it is one."""
    try:
        return Problem.model_validate_json(response.content).detail
    except ValidationError:
        return response.text[:300]


def _after(tried: int) -> str:
    return f"after {tried} more tries" if tried else "at the first try"


def _pause_s(tried: int, response: httpx2.Response | None = None) -> float:
    """What `Retry-After` asks for, else twice as long every time; with a random part, so that callers do not come back together."""
    asked = response.headers.get("retry-after", "") if response is not None else ""
    pause = float(asked) if asked.isdigit() else min(FIRST_PAUSE_S * 2 ** min(tried, 20), LONGEST_PAUSE_S)
    return pause + random.uniform(0, FIRST_PAUSE_S + pause / 4)
