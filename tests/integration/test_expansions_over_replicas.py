"""Several processes that expand the same interest at the same time, over one Redis."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.redis_server import Server

REPLICA = """
import asyncio, json, sys, time
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff
from expander.backends.redis_store import RedisStore
from expander.cache import ExpansionCache
from expander.entries import Entry
from expander.flights import Flights
from expander.metrics import ExpanderMetrics

async def main(url, callers, takes_s, user_id):
    counter = Redis.from_url(url, retry=Retry(ConstantBackoff(0.05), 200))
    metrics = ExpanderMetrics()
    store = RedisStore(url, 600, metrics, timeout_s=5)
    cache = ExpansionCache(store, 100, 600, metrics)
    flights = Flights(store, cache)
    await store.get("connected")

    async def make():
        number = await counter.incr("calls")
        print("making", flush=True)
        await asyncio.sleep(takes_s)
        return Entry(("one", "two", f"made by call {number}"), time.time(), personal=user_id is not None)

    async def caller():
        kept = await cache.find("key")
        if kept is None:
            call = flights.start("key", make, user_id)
            await asyncio.wait({call})
            return call.result().topics[2]
        return kept.entry.topics[2]

    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    answers = await asyncio.gather(*(caller() for _ in range(callers)))
    print(json.dumps(sorted(set(answers))), flush=True)
    await flights.close()
    await cache.close()
    await counter.aclose()
    assert asyncio.all_tasks() == {asyncio.current_task()}

asyncio.run(main(*json.loads(sys.argv[1])))
"""


class Replica:
    """A process with a cache, flights and a counted LLM of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def line(self) -> str:
        assert self.process.stdout is not None
        async with asyncio.timeout(60):
            return (await self.process.stdout.readline()).decode().strip()

    async def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        await self.process.stdin.drain()

    async def answers(self) -> list[str]:
        while not (line := await self.line()).startswith('["'):
            assert line, "the process ended without answers"  # other lines are its log and the calls that it makes
        answers: list[str] = json.loads(line)
        assert await self.process.wait() == 0
        return answers


@asynccontextmanager
async def replicas(number: int, *arguments: object) -> AsyncIterator[list[Replica]]:
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", REPLICA, json.dumps(arguments)]
    pipe = asyncio.subprocess.PIPE
    started = [Replica(await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)) for _ in range(number)]
    try:
        for replica in started:
            assert await replica.line() == "ready"
        yield started
    finally:
        for replica in started:
            if replica.process.returncode is None:
                replica.process.kill()
            await replica.process.wait()


def calls(server: Server) -> int:
    with server.client() as client:
        return int(client.get("calls") or 0)


@pytest.mark.parametrize(("number", "user_id"), [(2, None), (3, "ann")])
async def test_a_hundred_callers_in_each_of_several_processes_make_one_call(redis_server: Server, number: int, user_id: str | None) -> None:
    async with replicas(number, redis_server.url, 100, 0.3, user_id) as several:
        await asyncio.gather(*(replica.go() for replica in several))
        assert await asyncio.gather(*(replica.answers() for replica in several)) == [["made by call 1"]] * number
    assert calls(redis_server) == 1


async def test_a_call_longer_than_a_lease_is_still_the_only_one(redis_server: Server) -> None:
    async with replicas(2, redis_server.url, 10, 5.5, None) as several:
        await asyncio.gather(*(replica.go() for replica in several))
        assert await asyncio.gather(*(replica.answers() for replica in several)) == [["made by call 1"]] * 2
    assert calls(redis_server) == 1


async def test_the_call_of_a_process_that_is_killed_is_made_by_another(redis_server: Server) -> None:
    async with replicas(3, redis_server.url, 10, 0.5, None) as (dying, *others):
        await dying.go()
        assert await dying.line() == "making"
        await asyncio.gather(*(replica.go() for replica in others))
        dying.process.send_signal(signal.SIGKILL)
        assert await asyncio.gather(*(replica.answers() for replica in others)) == [["made by call 2"]] * 2
    assert calls(redis_server) == 2


async def test_a_redis_that_is_killed_during_the_call_costs_calls_and_no_answer(redis_server: Server) -> None:
    async with replicas(2, redis_server.url, 10, 0.5, None) as several:
        await asyncio.gather(*(replica.go() for replica in several))
        async with asyncio.timeout(60):
            while not calls(redis_server):
                await asyncio.sleep(0.01)
        redis_server.end(signal.SIGKILL)
        await asyncio.to_thread(redis_server.start)
        found = await asyncio.gather(*(replica.answers() for replica in several))
    assert all(len(answers) == 1 for answers in found)
    assert calls(redis_server) <= 2  # one each
