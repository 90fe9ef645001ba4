"""The encoder's API as the job uses it: binary answers, bulk priority, tries again what may pass. Knows nothing of files."""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import httpx2
import numpy as np
from numpy.typing import NDArray

from contracts.encoder import BINARY_MEDIA_TYPE, COUNT_HEADER, DIMENSION_HEADER, FINGERPRINT_HEADER, PRIORITY_HEADER
from pipelines.embed.faults import EncoderRefused, FingerprintChanged
from servicekit.deadline import HEADER as DEADLINE_HEADER

DEADLINE_S = 300.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 10.0
PASSING = {429, 502, 503, 504}
"""Overloaded, starting, behind a balancer without a replica, or too late: tried again as long as patience lasts."""
BROKEN_TRIES = 3
"""How often passages are sent on which the model fails (500); the fault may be theirs."""
TOLERANCE = 1e-2
UNLIMITED = httpx2.Limits(max_connections=None)
"""The job says how many requests are in flight."""
HEADERS = {"accept": BINARY_MEDIA_TYPE, PRIORITY_HEADER: "bulk", DEADLINE_HEADER: f"{1_000 * DEADLINE_S:.0f}"}


@dataclass(frozen=True)
class Space:
    """What an encoder embeds into."""

    fingerprint: str
    dimension: int


class Encoder:
    """A connection to the encoder at `url`; an asynchronous context manager. `retries` counts what was sent again.

    A request is given up `patience_s` seconds after its first failure.
    """

    def __init__(self, url: str, patience_s: float) -> None:
        self.url, self.retries, self._patience_s = url, 0, patience_s
        self._http = httpx2.AsyncClient(base_url=url, timeout=DEADLINE_S + 10, trust_env=False, limits=UNLIMITED)

    async def space(self) -> Space:
        """Waits, as long as patience lasts, for an encoder that is still starting. Raises `EncoderRefused`."""
        response = await self._answered("GET", "/v1/fingerprint")
        told = response.json()
        return Space(told["fingerprint"], told["dimension"])

    async def embed(self, texts: Sequence[str], space: Space) -> NDArray[np.float32]:
        """Unit-length float32 `(len(texts), space.dimension)`; raises `EncoderRefused`, and `FingerprintChanged` for another space."""
        response = await self._answered("POST", "/v1/embed", json={"texts": list(texts)}, headers=HEADERS)
        if (told := response.headers.get(FINGERPRINT_HEADER)) != space.fingerprint:
            raise FingerprintChanged(
                f"The encoder at {self.url} embeds into {told} now and did into {space.fingerprint} when this began; "
                "serve the former model again to go on, or embed into another file."
            )
        return self._rows(response, len(texts), space)

    def _rows(self, response: httpx2.Response, count: int, space: Space) -> NDArray[np.float32]:
        shape = response.headers.get(COUNT_HEADER), response.headers.get(DIMENSION_HEADER)
        if shape != (str(count), str(space.dimension)) or len(response.content) != 4 * count * space.dimension:
            raise EncoderRefused(f"{self.url} answered {shape} embeddings in {len(response.content)} bytes to {count} passages.")
        rows = np.frombuffer(response.content, "<f4").reshape(count, space.dimension)
        with np.errstate(all="ignore"):
            usable = np.abs(np.linalg.norm(rows, axis=1) - 1) <= TOLERANCE
        if not usable.all():
            raise EncoderRefused(f"{self.url} answered an embedding that is not finite or not unit length; its model is broken.")
        return rows.astype(np.float32, copy=False)

    async def _answered(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """The answer with status 200, after as many tries as patience allows."""
        tried, broken, ends = 0, 0, 0.0
        while True:
            response, reason = await self._sent(method, path, **options)
            if response is not None and response.status_code == 200:
                return response
            status = response.status_code if response is not None else 0
            broken += status == 500
            now = time.monotonic()
            ends = ends or now + self._patience_s
            passing = not status or status in PASSING or (status == 500 and broken < BROKEN_TRIES)
            if not passing or now >= ends:
                raise EncoderRefused(f"{method} {self.url}{path} {_after(tried)}: {reason}")
            await asyncio.sleep(min(_pause_s(tried, response), ends - now))
            tried += 1
            self.retries += 1

    async def _sent(self, method: str, path: str, **options: Any) -> tuple[httpx2.Response | None, str]:
        """The answer, none where the connection failed; and what is wrong with it."""
        try:
            response = await self._http.request(method, path, **options)
        except httpx2.TransportError as error:
            return None, f"{type(error).__name__} {error}".strip()
        if response.status_code == 200:
            return response, ""
        problem = response.json() if "json" in response.headers.get("content-type", "") else {}
        faults = "; ".join(str(fault) for fault in problem.get("errors", ())[:1])
        return response, f"{response.status_code} {problem.get('detail', response.text[:300])} {faults}".strip()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()


def _after(tried: int) -> str:
    return f"after {tried} more tries" if tried else "at the first try"


def _pause_s(tried: int, response: httpx2.Response | None) -> float:
    """What `Retry-After` asks for, else twice as long every time; with a random part, so that callers do not come back together."""
    asked = response.headers.get("retry-after", "") if response is not None else ""
    pause = float(asked) if asked.isdigit() else min(FIRST_PAUSE_S * 2 ** min(tried, 20), LONGEST_PAUSE_S)
    return pause + random.uniform(0, FIRST_PAUSE_S + pause / 4)
