"""Calls another service over HTTP, within a deadline. Knows no service's paths.

ServiceError
├── Unreachable     no connection, or it broke
├── Late            no answer before the deadline
└── Refused         an answer with status 400 or above, or one that is not what the contract says
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from servicekit import context
from servicekit.deadline import HEADER as DEADLINE_HEADER
from servicekit.deadline import Deadline

JSON = {"content-type": "application/json"}
NAMES_KEPT_S = 1
"""A service that was started again may have another address, and its old one may be another service's."""


class ServiceError(Exception):
    """The other service did not give a usable answer."""


class Unreachable(ServiceError):
    """No connection, or it broke."""


class Late(ServiceError):
    """No answer before the deadline."""


class Refused(ServiceError):
    """An answer with status 400 or above, or one that breaks the contract."""

    def __init__(self, message: str, status: int, body: bytes = b"") -> None:
        super().__init__(message)
        self.status, self.body = status, body


class ServiceClient:
    """One other service: a pool of connections to `base_url`. The seam for all calls between services."""

    def __init__(self, name: str, base_url: str, session: aiohttp.ClientSession) -> None:
        self.name, self.base_url, self._session = name, base_url.rstrip("/"), session

    async def call(
        self,
        method: str,
        path: str,
        deadline: Deadline,
        *,
        body: bytes | AsyncIterable[bytes] | None = None,
        headers: Mapping[str, str] = JSON,
        query: Mapping[str, str] | None = None,
    ) -> tuple[bytes, Mapping[str, str]]:
        """Body and headers of a successful answer; raises `ServiceError` otherwise."""
        remaining = deadline.remaining_s
        if remaining <= 0:
            raise Late(f"{self.name}: the deadline had passed before it was called")
        sent = {**headers, context.REQUEST_ID_HEADER: context.request_id.get(), DEADLINE_HEADER: f"{remaining * 1_000:.0f}"}
        try:
            async with (
                asyncio.timeout(remaining),
                self._session.request(method, self.base_url + path, data=body, headers=sent, params=query) as response,
            ):
                content = await response.read()
                if response.status >= 400:
                    raise Refused(
                        f"{self.name} answered {response.status}: {content[:300].decode(errors='replace')}", response.status, content
                    )
                return content, response.headers
        except TimeoutError as error:
            raise Late(f"{self.name} did not answer within {remaining * 1_000:.0f} ms") from error
        except aiohttp.ClientError as error:
            raise Unreachable(f"{self.name} is not reachable: {type(error).__name__}") from error


@asynccontextmanager
async def connections(limit: int = 256, *, kept: bool = True) -> AsyncIterator[aiohttp.ClientSession]:
    """A pool of connections for `ServiceClient`s; at most `limit` open at once.

    Not `kept`, each call opens its own: a busy pool else never reaches a replica that joined later, where the server does not close now
    and then, as ours do.
    """
    options: dict[str, Any] = {
        "limit": limit,
        "ttl_dns_cache": NAMES_KEPT_S,
        **({"keepalive_timeout": 60} if kept else {"force_close": True}),
    }
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(**options), timeout=aiohttp.ClientTimeout(total=None)) as session:
        yield session
