"""Asks a Redis or Valkey server, and stops asking for a while when it does not answer. Knows nothing of what is kept there."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

from prometheus_client import Counter
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import ReadOnlyError, RedisError
from redis.exceptions import TimeoutError as Late
from redis.maint_notifications import MaintNotificationsConfig

from expander.errors import StoreUrlInvalid
from servicekit import logs

LOG = logs.get(__name__)

MAX_CONNECTIONS = 16
PAUSE_S = 1.0
"""For which a server that did not answer is left alone; then one request finds out, and the others still go on without."""
GRACE_S = 0.005
"""And as long again as this process itself was late: for an answer that may be there already."""
SOCKET_TIMEOUTS = 3
"""Of the time that an answer is waited for: after that a connection is given up."""
REMEDY = "write redis://user:password@host:6379/0, or rediss:// for TLS, with reserved characters of the password percent-encoded"
Value = TypeVar("Value")


class NotAnswered(Exception):
    """The server did not do it; `reason` as `CacheMetrics.store_failures` counts it."""

    def __init__(self, reason: Literal["unreachable", "refused", "skipped", "busy"], message: str) -> None:
        super().__init__(message)
        self.reason = reason


class RedisConnections:
    """A pool of connections to the server at `url`. A request waits up to `timeout_s` for its turn, and as long for its answer.

    Only what was asked and not answered speaks against the server: a crowd that waits here does not. A dead one costs `timeout_s` in all.
    """

    def __init__(self, url: str, timeout_s: float, failures: Counter) -> None:
        self._redis = Redis.from_pool(_pool(url, timeout_s))
        self._timeout_s, self._failures = timeout_s, failures
        self._shut_until, self._failing = 0.0, False
        self._turns = asyncio.Semaphore(MAX_CONNECTIONS)
        self._asking = set[asyncio.Future[Any]]()

    async def ask(self, operation: str, request: Callable[[Redis], Awaitable[Value]]) -> Value:
        """What `request` returns; raises `NotAnswered`, which is counted under `operation` and logged when it is news.

        A request runs on when its caller is cancelled or too late, until the socket's own timeout: to cancel one may cost a connection.
        """
        self._check(operation)
        await self._take_turn(operation)
        try:
            self._check(operation)
        except NotAnswered:
            self._turns.release()
            raise
        if self._failing:
            self._shut_until = time.monotonic() + PAUSE_S
        asked = self._begun(request(self._redis))
        asked.add_done_callback(lambda _: self._turns.release())
        due = time.monotonic() + self._timeout_s
        if not (await asyncio.wait({asked}, timeout=self._timeout_s))[0]:
            await asyncio.wait({asked}, timeout=GRACE_S + max(0.0, time.monotonic() - due))
        if not asked.done():
            raise self._unreachable(operation, f"no answer within {self._timeout_s * 1_000:.0f} ms")
        return self._answer(operation, asked)

    async def close(self) -> None:
        """Waits for what was asked, which the socket's timeout bounds, and closes every connection."""
        if self._asking:
            await asyncio.wait(self._asking)
        await self._redis.aclose()

    def _check(self, operation: str) -> None:
        if time.monotonic() < self._shut_until:
            self._failures.labels(operation, "skipped").inc()
            raise NotAnswered("skipped", f"it did not answer less than {PAUSE_S:g} s ago")

    async def _take_turn(self, operation: str) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._turns.acquire()
        except TimeoutError:
            self._failures.labels(operation, "busy").inc()
            raise NotAnswered(
                "busy", f"no turn within {self._timeout_s * 1_000:.0f} ms: {MAX_CONNECTIONS} requests at once are the most"
            ) from None

    def _answer(self, operation: str, asked: "asyncio.Future[Value]") -> Value:
        try:
            value = asked.result()
        except (Disconnected, Late, OSError, ValueError) as error:  # ValueError: of a host name that can not be one
            raise self._unreachable(operation, f"{type(error).__name__}: {error}") from error
        except RedisError as error:
            self._failures.labels(operation, "refused").inc()
            LOG.warning("expansion_store_refused", operation=operation, reason=f"{type(error).__name__}: {error}")
            if isinstance(error, ReadOnlyError):  # it is not the primary any more: the name may stand for another server by now
                self._begun(self._redis.connection_pool.disconnect(inuse_connections=False))
            raise NotAnswered("refused", str(error)) from error
        if self._failing:
            self._failing, self._shut_until = False, 0.0
            LOG.info("expansion_store_reached")
        return value

    def _unreachable(self, operation: str, said: str) -> NotAnswered:
        self._failures.labels(operation, "unreachable").inc()
        if not self._failing:
            LOG.warning("expansion_store_unreachable", operation=operation, reason=said)
        self._failing, self._shut_until = True, time.monotonic() + PAUSE_S
        return NotAnswered("unreachable", said)

    def _begun(self, work: Awaitable[Value]) -> "asyncio.Future[Value]":
        asked = asyncio.ensure_future(work)
        self._asking.add(asked)
        asked.add_done_callback(self._end)
        return asked

    def _end(self, asked: "asyncio.Future[Any]") -> None:
        self._asking.discard(asked)
        if not asked.cancelled():
            asked.exception()  # nobody may be waiting any more, and asyncio would warn


def _pool(url: str, timeout_s: float) -> BlockingConnectionPool:
    """Raises `StoreUrlInvalid`, which does not repeat the URL."""
    try:
        parts = urlsplit(url.strip())
        number = parts.path.strip("/")
        if parts.scheme not in ("redis", "rediss") or not parts.hostname or parts.fragment or not (number or "0").isdigit():
            raise ValueError
        pool = BlockingConnectionPool.from_url(
            url.strip(),
            max_connections=MAX_CONNECTIONS,
            timeout=SOCKET_TIMEOUTS * timeout_s,
            socket_timeout=SOCKET_TIMEOUTS * timeout_s,
            socket_connect_timeout=SOCKET_TIMEOUTS * timeout_s,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            client_name="warmstart-expander",
            driver_info=None,
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
        )
        pool.make_connection()  # type: ignore[no-untyped-call]  # refuses options that it does not know
    except (ValueError, TypeError, RedisError):
        raise StoreUrlInvalid(f"EXPANDER_CACHE_URL is no URL of a Redis or Valkey server: {REMEDY}.") from None
    return pool
