"""Times the store of events in SQLite and in a PostgreSQL on this machine, in turns within one run. Prints a table in Markdown.

Needs PostgreSQL installed. Everything is on one machine: add a round trip of the network for each `taste` and each `add`.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.postgresql import programs, running

from gateway.backends import postgresql, postgresql_connections
from gateway.backends.postgresql import PostgresqlProfiles
from gateway.backends.sqlite import SqliteProfiles
from gateway.profiles import Event, Profiles

USERS, HISTORY, WRITERS = 2_000, 50, 8
COLUMNS = ("SQLite", "PostgreSQL", "without turns", "with prepared statements")
Work = Callable[[Profiles, int], Awaitable[object]]


def event(user: int, number: int) -> Event:
    return Event(f"user-{user}", 1_700_000_000_000 + number, f"item-{number % 5_000}", "like", None)


async def filled(store: Profiles) -> Profiles:
    """`store` with USERS users of HISTORY events and one of 2,000."""
    for first in range(0, USERS, 100):
        await store.add([event(user, user + number) for user in range(first, first + 100) for number in range(HISTORY)])
    await store.add([event(USERS, number) for number in range(2_000)])
    return store


async def median_ms(stores: list[Profiles], rounds: int, work: Work) -> list[float]:
    """The median of each store; the stores take turns, so that what else the machine does falls on all of them."""
    spent: list[list[float]] = [[] for _ in stores]
    kept = postgresql.TURN
    for number in range(rounds):
        for place, (store, times) in enumerate(zip(stores, spent, strict=True)):
            postgresql.TURN = "SELECT 1" if place == COLUMNS.index("without turns") else kept
            started = time.perf_counter()
            await work(store, number)
            times.append(1_000 * (time.perf_counter() - started))
    postgresql.TURN = kept
    return [statistics.median(times) for times in spent]


async def at_once(store: Profiles, number: int) -> None:
    await asyncio.gather(*(store.add([event(USERS + 2 + writer, number)]) for writer in range(WRITERS)))


async def table(stores: list[Profiles], rounds: int) -> None:
    kinds: list[tuple[str, int, Work]] = [
        (f"taste of {HISTORY} events", rounds, lambda store, number: store.taste(f"user-{number % USERS}")),
        ("taste of 2,000 events", rounds // 5, lambda store, _: store.taste(f"user-{USERS}")),
        ("add one event", rounds, lambda store, number: store.add([event(USERS + 1, number)])),
        (f"add one event, {WRITERS} at once", rounds // 5, at_once),
        ("add 5,000 events", 10, lambda store, n: store.add([event(2 * USERS + n, at) for at in range(5_000)])),
        ("page of 50,000 events", 10, lambda store, _: store.page(None, 50_000)),
    ]
    print(f"| median ms of {rounds} (fewer for the large) | {' | '.join(COLUMNS)} |\n|---|{'---|' * len(COLUMNS)}")
    for name, times, work in kinds:
        medians = await median_ms(stores, times, work)
        print(f"| {name} | {' | '.join(f'{median:.2f}' for median in medians)} |")


async def measure(rounds: int, folder: Path, urls: list[str]) -> None:
    stores: list[Profiles] = [await filled(SqliteProfiles(folder / "profiles.sqlite", 4))]
    options = postgresql_connections.OPTIONS
    for url, threshold in zip(urls, (None, None, 0), strict=True):
        postgresql_connections.OPTIONS = {**options, "prepare_threshold": threshold}
        store = PostgresqlProfiles(postgresql_connections.parameters(url), 4)
        await store.open()
        stores.append(await filled(store))
    await table(stores, rounds)
    for opened in stores:
        await opened.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=500)
    rounds = parser.parse_args().rounds
    if (found := programs()) is None:
        raise SystemExit("PostgreSQL is not installed: apt-get install -y postgresql")
    with running(found) as server, tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(rounds, Path(folder), [server.database() for _ in range(3)]))


if __name__ == "__main__":
    main()
