"""The tables of events in PostgreSQL and how they come about. Knows nothing of what is asked of them.

A version is only ever added to `VERSIONS`, and must leave the gateways of the version before it working: during a roll-out both run.
"""

from typing import Any

from psycopg import AsyncConnection

from gateway.errors import ProfilesUnavailable

CREATION_LOCK = 0x7761726D
"""Key of the advisory lock that one gateway holds while it makes or changes the tables."""

VERSIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE warmstart.events (
            seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            user_id text COLLATE "C" NOT NULL, time_ms bigint NOT NULL, item_id text COLLATE "C" NOT NULL,
            type text COLLATE "C" NOT NULL, value double precision,
            UNIQUE (user_id, time_ms, item_id, type)
        )""",
        "CREATE TABLE warmstart.totals (events bigint NOT NULL)",
        "INSERT INTO warmstart.totals VALUES (0)",
    ),
)


async def prepare(connection: AsyncConnection[Any]) -> None:
    """Makes what is missing, once, however many gateways ask at the same time.

    Raises `ProfilesUnavailable` when a newer gateway has changed the tables beyond what this one knows.
    """
    if await _version(connection) == len(VERSIONS):
        return
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", (CREATION_LOCK,))
        if (found := await _version(connection)) > len(VERSIONS):
            raise ProfilesUnavailable(
                f"The tables of events have version {found}, this gateway knows {len(VERSIONS)}; run the gateway that made them."
            )
        if found == 0:
            if not await _exists(
                connection, "FROM pg_catalog.pg_namespace WHERE nspname = 'warmstart'"
            ):  # whoever may not make schemas can have it made for them
                await connection.execute("CREATE SCHEMA warmstart")
            await connection.execute("CREATE TABLE warmstart.profiles_version (version integer NOT NULL)")
            await connection.execute("INSERT INTO warmstart.profiles_version VALUES (0)")
        for statements in VERSIONS[found:]:
            for statement in statements:
                await connection.execute(statement.encode())
        await connection.execute("UPDATE warmstart.profiles_version SET version = %s", (len(VERSIONS),))


async def _version(connection: AsyncConnection[Any]) -> int:
    """The version of the tables that are there, 0 for none."""
    if not await _exists(connection, "FROM pg_catalog.pg_tables WHERE schemaname = 'warmstart' AND tablename = 'profiles_version'"):
        return 0
    row = await (await connection.execute("SELECT version FROM warmstart.profiles_version")).fetchone()
    return int(row[0]) if row else 0


async def _exists(connection: AsyncConnection[Any], rows: str) -> bool:
    """Whether the catalogue has such rows now. `to_regclass` might remember how it was before the lock was got."""
    row = await (await connection.execute(f"SELECT EXISTS (SELECT {rows})".encode())).fetchone()
    return bool(row and row[0])
