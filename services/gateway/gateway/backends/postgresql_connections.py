"""Connections to PostgreSQL: how many, how long a call may take, what happens in an outage. Knows nothing of events.

The first call that finds the server gone starts the recovery, which tries every second to connect; until it succeeds calls fail at
once, so that an outage costs each request nothing but the stored part of its answer.
"""

import asyncio
import logging
import select
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import psycopg
from psycopg import AsyncConnection
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.errors import ReadOnlySqlTransaction
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from gateway.errors import ProfilesUnavailable, ProfilesUrlInvalid
from servicekit import logs

LOG = logs.get(__name__)
logging.getLogger("psycopg").setLevel(logging.ERROR)  # the pool would log every call, and every second of an outage

MAX_CONNECTIONS = 5
"""Of one gateway; one more for a moment during recovery. A read of a taste takes a millisecond."""
CALL_S, QUEUE_S, ATTEMPT_S, PAUSE_S = 5.0, 1.0, 3.0, 1.0
"""How long a call may take, how long of that it waits for a connection, how long an attempt to recover may take, and the pause after."""
PARAMETERS: dict[str, Any] = {
    "application_name": "warmstart-gateway",
    "client_encoding": "UTF8",
    "connect_timeout": 2,
    "gssencmode": "disable",
    "keepalives_idle": 30,
    "target_session_attrs": "read-write",
    "tcp_user_timeout": 10_000,
}
"""What the URL may say otherwise. `read-write` refuses a standby, so that of several hosts the primary is found after a failover."""
OPTIONS: dict[str, Any] = {"autocommit": True, "prepare_threshold": None}
"""A pooler in transaction mode (pgbouncer) may give every transaction another connection, where nothing was prepared."""
Connection = AsyncConnection[Any]
Value = TypeVar("Value")


def parameters(url: str) -> str:
    """How to connect, from a `postgresql://` URL; raises `ProfilesUrlInvalid`, which says nothing of the URL: it may hold a password."""
    try:
        if not url.startswith(("postgresql://", "postgres://")):
            raise psycopg.ProgrammingError
        return make_conninfo("", **{**PARAMETERS, **conninfo_to_dict(url.strip())})
    except psycopg.ProgrammingError:
        raise ProfilesUrlInvalid(
            "GATEWAY_PROFILES_URL: not a URL of PostgreSQL; write postgresql://user:password@host:5432/database?sslmode=verify-full, "
            "with what is special in user and password percent-encoded"
        ) from None


class Connections:
    """Runs work on connections to the server of `parameters`; `prepare` is done once before the first, and after every outage."""

    def __init__(self, parameters: str, prepare: Callable[[Connection], Awaitable[None]]) -> None:
        self._parameters, self._prepare = parameters, prepare
        self._pool = AsyncConnectionPool(
            parameters,
            kwargs=OPTIONS,
            min_size=1,
            max_size=MAX_CONNECTIONS,
            open=False,
            timeout=QUEUE_S,
            reconnect_timeout=0,  # the recovery tries again, and tells why it fails
            reconnect_failed=lambda _: self._lost("a connection was lost"),
        )
        self._outage: str | None = "not reached yet"
        self._recovery: asyncio.Task[None] | None = None
        self._closed = False

    async def open(self) -> None:
        """Tries to connect, for some seconds; when that fails the recovery goes on by itself."""
        await self._pool.open()
        if not await self._attempt():
            self._recover()

    async def close(self) -> None:
        """Gives calls in flight some seconds; later ones fail."""
        self._closed = True
        if self._recovery:
            self._recovery.cancel()
            await asyncio.wait({self._recovery})
        await self._pool.close()

    async def run(self, work: Callable[[Connection], Awaitable[Value]], within_s: float = CALL_S) -> Value:
        """What `work` returns; raises `ProfilesUnavailable` when it fails, or takes longer than `within_s`."""
        if self._outage is not None or self._closed:
            raise ProfilesUnavailable("The store of events can not be reached; nothing was stored or erased, try again.")
        call = asyncio.create_task(self._call(work))
        try:
            async with asyncio.timeout(within_s):
                return await asyncio.shield(call)  # a call that is given up needs time to end: the server is told, and may not listen
        except TimeoutError as error:
            self._lost(f"no answer within {within_s:g} s")
            raise ProfilesUnavailable(
                f"The store of events did not answer within {within_s:g} s; what was sent may have been stored, try again."
            ) from error
        except PoolTimeout as error:  # the server answers those who have a connection, or their calls will tell of the outage
            raise ProfilesUnavailable(
                "Every connection to the store of events is in use; nothing was stored or erased, try again."
            ) from error
        except (psycopg.OperationalError, psycopg.InterfaceError, ReadOnlySqlTransaction) as error:
            self._lost(str(error))
            raise ProfilesUnavailable("The store of events can not be reached; what was sent may have been stored, try again.") from error
        except psycopg.Error as error:
            raise ProfilesUnavailable(f"The store of events failed: {error.diag.message_primary or type(error).__name__}.") from error
        finally:
            call.cancel()
            call.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def _call(self, work: Callable[[Connection], Awaitable[Value]]) -> Value:
        async with self._pool.connection() as connection:
            if not _severed(connection):
                return await self._worked(connection, work)
            await connection.close()
        await self._pool.drain()  # the others are likely to be severed too; nothing was sent yet, so that this is no second attempt
        async with self._pool.connection() as connection:
            return await self._worked(connection, work)

    async def _worked(self, connection: Connection, work: Callable[[Connection], Awaitable[Value]]) -> Value:
        try:
            return await work(connection)
        except ReadOnlySqlTransaction:  # the primary became a standby; another connection finds the new one
            await connection.close()
            raise

    def _lost(self, reason: str) -> None:
        if self._outage is None and not self._closed:
            LOG.warning("profiles_lost", reason=reason)
            self._outage = reason
            self._recover()

    def _recover(self) -> None:
        if self._recovery is None or self._recovery.done():
            self._recovery = asyncio.create_task(self._recovered())

    async def _recovered(self) -> None:
        while True:
            if await self._attempt():
                return
            await asyncio.sleep(PAUSE_S)

    async def _attempt(self) -> bool:
        """Whether the server was reached, and is as it has to be."""
        try:
            async with asyncio.timeout(ATTEMPT_S), await AsyncConnection.connect(self._parameters, **OPTIONS) as connection:
                await self._prepare(connection)
        except (psycopg.Error, OSError, TimeoutError, ProfilesUnavailable) as error:
            if (reason := str(error) or type(error).__name__) != self._outage:
                LOG.warning("profiles_unreachable", reason=reason)
            self._outage = reason
            return False
        await self._pool.drain()  # what is left from before the outage may hang
        self._outage = None
        LOG.info("profiles_reached")
        return True


def _severed(connection: Connection) -> bool:
    """Whether the server hung up while nothing was asked of it: only then has it something to say. Costs no message."""
    said = select.poll()
    said.register(connection.fileno(), select.POLLIN)
    return bool(said.poll(0))
