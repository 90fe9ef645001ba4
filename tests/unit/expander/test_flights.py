"""One call at a time for an interest, here and in other replicas."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from structlog.testing import capture_logs
from tests.fakes.memory_store import MemoryStore

from expander import flights as flights_module
from expander.cache import ExpansionCache
from expander.entries import Entry
from expander.errors import LlmBusy, LlmInvalid
from expander.flights import Flights
from expander.metrics import ExpanderMetrics

TTL_S = 600.0
TOPICS = ("one", "two", "three")


class Llm:
    """Makes entries, counts how often, and takes as long or fails as it is told."""

    def __init__(self, user_id: str | None = None) -> None:
        self.calls, self.takes_s, self.failure = 0, 0.02, None
        self.user_id = user_id

    failure: BaseException | None

    async def make(self) -> Entry:
        self.calls += 1
        await asyncio.sleep(self.takes_s)
        if self.failure is not None:
            raise self.failure
        return Entry(TOPICS, time.time(), 100, personal=self.user_id is not None)


class Replica:
    """A cache and the flights before it."""

    def __init__(self, store: MemoryStore) -> None:
        self.store, self.metrics = store, ExpanderMetrics()
        self.cache = ExpansionCache(store, 100, TTL_S, self.metrics)
        self.flights = Flights(store, self.cache)

    def waits(self, outcome: str) -> float | None:
        return self.metrics.registry.get_sample_value("expander_cache_waits_total", {"outcome": outcome})


@asynccontextmanager
async def replicas(number: int) -> AsyncIterator[list[Replica]]:
    first = MemoryStore(shared=True)
    started = [Replica(first), *(Replica(first.replica()) for _ in range(number - 1))]
    yield started
    for replica in started:
        await replica.flights.close()


@pytest.fixture
async def alone() -> AsyncIterator[Replica]:
    replica = Replica(MemoryStore())
    yield replica
    await replica.flights.close()


@pytest.fixture
def llm() -> Llm:
    return Llm()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flights_module, "RENEW_S", 0.01)


async def settled(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.002)


async def test_a_hundred_callers_make_one_call(alone: Replica, llm: Llm) -> None:
    async def caller() -> Entry:
        if kept := await alone.cache.find("key"):
            return kept.entry
        return await asyncio.shield(alone.flights.start("key", llm.make, None))

    answers = await asyncio.gather(*(caller() for _ in range(100)))
    assert {answer.topics for answer in answers} == {TOPICS}
    assert llm.calls == 1


async def test_who_comes_after_the_end_of_a_call_that_he_did_not_see_makes_none(alone: Replica, llm: Llm) -> None:
    first = await alone.flights.start("key", llm.make, None)
    assert await alone.flights.start("key", llm.make, None) == first
    assert llm.calls == 1


async def test_other_keys_have_calls_of_their_own(alone: Replica, llm: Llm) -> None:
    await asyncio.wait({alone.flights.start(f"key {number}", llm.make, None) for number in range(20)})
    assert llm.calls == 20
    assert len(alone.flights) == 0


async def test_a_stale_entry_is_made_anew(alone: Replica, llm: Llm) -> None:
    await alone.cache.keep("key", Entry(TOPICS, time.time() - 2 * TTL_S), None)
    await alone.flights.start("key", llm.make, None)
    kept = alone.cache.peek("key")
    assert kept is not None
    assert (kept.age, llm.calls) == ("fresh", 1)


async def test_the_result_is_kept_when_the_call_ends_though_all_have_stopped_waiting(alone: Replica, llm: Llm) -> None:
    call = alone.flights.start("key", llm.make, "ann")
    assert (await asyncio.wait({call}, timeout=0.001))[0] == set()
    found: list[object] = []
    call.add_done_callback(lambda _: found.append(alone.cache.peek("key")))
    await asyncio.wait({call})
    await asyncio.sleep(0)
    assert found != [None]
    assert alone.store.owned == {"ann": {"key"}}


async def test_what_is_not_acceptable_is_raised_and_not_asked_for_again(alone: Replica, llm: Llm) -> None:
    llm.failure = LlmInvalid("nonsense", "not_json")
    for _ in range(3):
        with pytest.raises(LlmInvalid) as raised:
            await alone.flights.start("key", llm.make, None)
        assert raised.value.cause == "not_json"
    assert llm.calls == 1
    kept = alone.cache.peek("key")
    assert kept is not None
    assert kept.age == "negative"


async def test_a_refusal_leaves_stale_topics_in_place_and_is_not_asked_for_again(alone: Replica, llm: Llm) -> None:
    await alone.cache.keep("key", Entry(TOPICS, time.time() - 2 * TTL_S), None)
    llm.failure = LlmInvalid("nonsense", "not_json")
    for _ in range(3):
        with pytest.raises(LlmInvalid):
            await alone.flights.start("key", llm.make, None)
    kept = alone.cache.peek("key")
    assert kept is not None
    assert (kept.age, kept.entry.topics, llm.calls) == ("stale", TOPICS, 1)


async def test_any_other_failure_is_kept_from_nobody_else(alone: Replica, llm: Llm) -> None:
    llm.failure = LlmBusy("full")
    with pytest.raises(LlmBusy):
        await alone.flights.start("key", llm.make, None)
    llm.failure = None
    assert (await alone.flights.start("key", llm.make, None)).topics == TOPICS
    assert llm.calls == 2


async def test_a_failure_that_nobody_waits_for_does_not_warn_and_one_that_is_a_fault_is_logged(alone: Replica) -> None:
    unhandled: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
    with capture_logs() as logged:
        for failure in (LlmInvalid("nonsense"), LlmBusy("full"), KeyError("a fault")):
            failing = Llm()
            failing.failure = failure
            alone.flights.start(f"key {failure}", failing.make, None)
        await settled(lambda: len(alone.flights) == 0)
        gc.collect()
        await asyncio.sleep(0)
    assert unhandled == []
    assert [event["event"] for event in logged if event["log_level"] == "error"] == ["expansion_failed"]


async def test_an_erased_user_s_calls_end_and_keep_nothing(alone: Replica, llm: Llm) -> None:
    hers, his = alone.flights.start("hers", llm.make, "ann"), alone.flights.start("his", llm.make, "bob")
    await settled(lambda: llm.calls == 2)
    alone.flights.erase("ann")
    assert await alone.cache.erase("ann") == 0
    again = alone.flights.start("hers", llm.make, "ann")
    assert again is not hers
    await asyncio.wait({hers, his, again})
    assert hers.cancelled()
    assert llm.calls == 3
    assert list(alone.store.entries) == ["his", "hers"]
    assert len(alone.flights) == 0


async def test_an_erasure_while_a_result_is_being_kept_removes_it(alone: Replica, llm: Llm) -> None:
    llm.takes_s, alone.store.slow_s = 0.0, 0.02
    call = alone.flights.start("key", llm.make, "ann")
    await settled(lambda: alone.cache.peek("key"))
    alone.flights.erase("ann")
    await alone.cache.erase("ann")
    await asyncio.wait({call})
    assert await alone.cache.find("key") is None


async def test_closing_ends_every_call_and_leaves_no_task(llm: Llm, quick: None) -> None:
    before = asyncio.all_tasks()
    async with replicas(3) as all_three:
        llm.takes_s = 60
        calls = [replica.flights.start(f"key {number % 5}", llm.make, "ann") for number in range(20) for replica in all_three]
        await settled(lambda: llm.calls == 5)
        all_three[0].flights.erase("ann")
    assert all(call.done() for call in calls)
    assert asyncio.all_tasks() == before
    assert all_three[0].store.leases == {}


async def test_two_and_three_replicas_make_one_call(llm: Llm) -> None:
    for number in (2, 3):
        async with replicas(number) as several:
            calls = {replica.flights.start("key", llm.make, None) for replica in several for _ in range(100)}
            assert len(calls) == number
            assert {call.result().topics for call in (await asyncio.wait(calls))[0]} == {TOPICS}
            assert llm.calls == number - 1
            assert sum(replica.waits("spared") or 0 for replica in several) == number - 1


async def test_who_waited_for_another_replica_has_its_entry_in_memory_too_unless_it_is_personal(llm: Llm) -> None:
    async with replicas(2) as (one, other):
        personal = Llm("ann")
        await asyncio.wait({replica.flights.start("all's", llm.make, None) for replica in (one, other)})
        await asyncio.wait({replica.flights.start("hers", personal.make, "ann") for replica in (one, other)})
        assert [bool(replica.cache.peek("all's")) for replica in (one, other)] == [True, True]
        assert [bool(replica.cache.peek("hers")) for replica in (one, other)] == [False, False]
        assert llm.calls == personal.calls == 1


async def test_a_replica_that_fails_leaves_the_call_to_the_next(llm: Llm) -> None:
    async with replicas(2) as (one, other):
        failing = Llm()
        failing.failure = LlmBusy("full")
        first = one.flights.start("key", failing.make, None)
        await settled(lambda: failing.calls)
        assert (await other.flights.start("key", llm.make, None)).topics == TOPICS
        assert isinstance(first.exception(), LlmBusy)
        assert (failing.calls, llm.calls, other.waits("taken_over")) == (1, 1, 1)


async def test_what_one_replica_was_refused_the_others_do_not_ask_for(llm: Llm) -> None:
    llm.failure = LlmInvalid("nonsense", "not_json")
    async with replicas(3) as several:
        calls = {replica.flights.start("key", llm.make, None) for replica in several}
        await asyncio.wait(calls)
        assert [type(call.exception()) for call in calls] == [LlmInvalid] * 3
        assert llm.calls == 1


async def test_a_lease_whose_holder_died_ends_and_is_taken_over(llm: Llm) -> None:
    async with replicas(2) as (one, other):
        one.store.leases["key"] = object()
        call = other.flights.start("key", llm.make, None)
        assert (await asyncio.wait({call}, timeout=0.15))[0] == set()
        del one.store.leases["key"]
        assert (await call).topics == TOPICS


async def test_a_lease_is_renewed_while_the_call_goes_on(llm: Llm, quick: None) -> None:
    async with replicas(1) as (one,):
        llm.takes_s = 0.2
        call = one.flights.start("key", llm.make, None)
        await settled(lambda: llm.calls)
        one.store.leases.clear()
        await settled(lambda: one.store.leases)
        await call
        assert one.store.leases == {}


async def test_replicas_whose_store_is_down_each_make_their_own(llm: Llm) -> None:
    async with replicas(2) as (one, other):
        one.store.down = other.store.down = True
        await asyncio.wait({replica.flights.start("key", llm.make, None) for replica in (one, other) for _ in range(10)})
        assert llm.calls == 2
        assert one.cache.peek("key") is not None
