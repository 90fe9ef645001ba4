"""The memory in front of a store of expansions."""

import asyncio
from collections import OrderedDict
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from tests.fakes.memory_store import MemoryStore

from expander.cache import ExpansionCache
from expander.entries import NEGATIVE_TTL_S, PERSONAL_TTL_S, Entry
from expander.errors import StoreUnavailable
from expander.metrics import ExpanderMetrics

TTL_S = 600.0
TOPICS = ("one", "two", "three")


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def metrics() -> ExpanderMetrics:
    return ExpanderMetrics()


@pytest.fixture
def cache(store: MemoryStore, clock: Clock, metrics: ExpanderMetrics) -> ExpansionCache:
    return ExpansionCache(store, 3, TTL_S, metrics, clock)


@pytest.fixture
def shared(clock: Clock, metrics: ExpanderMetrics) -> ExpansionCache:
    return ExpansionCache(MemoryStore(shared=True), 3, TTL_S, metrics, clock)


def entry(clock: Clock, *, age_s: float = 0.0, personal: bool = False) -> Entry:
    return Entry(TOPICS, clock.now - age_s, 100, personal=personal)


async def test_what_was_kept_is_peeked_without_the_store(cache: ExpansionCache, store: MemoryStore, clock: Clock) -> None:
    await cache.keep("key", entry(clock), None)
    assert cache.peek("key") == (entry(clock), "fresh")
    assert cache.peek("other") is None
    assert store.reads == 0


async def test_what_memory_lost_comes_back_from_the_store_once(cache: ExpansionCache, store: MemoryStore, clock: Clock) -> None:
    store.entries["key"] = entry(clock)
    assert cache.peek("key") is None
    assert await cache.find("key") == (entry(clock), "fresh")
    assert cache.peek("key") == await cache.find("key")
    assert store.reads == 1


async def test_an_entry_is_stale_from_its_time_to_live_on_and_never_gone(cache: ExpansionCache, clock: Clock) -> None:
    await cache.keep("key", entry(clock), None)
    ages = []
    for passed_s in (TTL_S - 1, 1, 100 * TTL_S):
        clock.now += passed_s
        kept = await cache.find("key")
        assert kept == cache.peek("key")
        ages.append(kept.age if kept else None)
    assert ages == ["fresh", "stale", "stale"]


async def test_an_entry_from_a_clock_far_ahead_is_not_fresh_for_ever(cache: ExpansionCache, clock: Clock) -> None:
    await cache.keep("ahead", entry(clock, age_s=-TTL_S / 2), None)
    await cache.keep("far", entry(clock, age_s=-2 * TTL_S), None)
    assert [kept.age for key in ("ahead", "far") if (kept := cache.peek(key))] == ["fresh", "stale"]


async def test_a_refusal_is_kept_for_a_minute(cache: ExpansionCache, clock: Clock) -> None:
    await cache.keep_refusal("key", "too_few", None)
    clock.now += NEGATIVE_TTL_S - 1
    kept = await cache.find("key")
    assert kept is not None
    assert (kept.age, kept.entry.cause, kept.entry.topics) == ("negative", "too_few", ())
    clock.now += 1
    assert cache.peek("key") is None
    assert await cache.find("key") is None


async def test_a_refusal_of_what_there_are_topics_for_keeps_the_topics(cache: ExpansionCache, clock: Clock) -> None:
    await cache.keep("key", old := entry(clock, age_s=2 * TTL_S), None)
    await cache.keep_refusal("key", "too_few", None)
    kept = cache.peek("key")
    assert kept is not None
    assert (kept.age, kept.entry) == ("stale", replace(old, refused_at=clock.now, cause="too_few"))
    assert cache.refused_lately(kept.entry)
    clock.now += NEGATIVE_TTL_S
    assert not cache.refused_lately(kept.entry)


async def test_refusals_take_no_room_in_a_store_of_one_process(cache: ExpansionCache, shared: ExpansionCache, store: MemoryStore) -> None:
    await cache.keep_refusal("key", "too_few", None)
    assert store.entries == {}
    await shared.keep_refusal("key", "too_few", "ann")
    kept = await shared.find("key")
    assert kept is not None
    assert kept.age == "negative"


async def test_the_least_recently_used_leaves_memory_first(cache: ExpansionCache, clock: Clock) -> None:
    for key in ("a", "b", "c"):
        await cache.keep(key, entry(clock), "ann")
    cache.peek("a")
    await cache.keep("d", entry(clock), "ann")
    assert [key for key in "abcd" if cache.peek(key)] == ["a", "c", "d"]
    assert len(cache) == 3


async def test_erasing_reaches_memory_and_store(cache: ExpansionCache, store: MemoryStore, clock: Clock) -> None:
    await cache.keep("hers", entry(clock, personal=True), "ann")
    await cache.keep("his", entry(clock, personal=True), "bob")
    assert await cache.erase("ann") == 1
    assert await cache.find("hers") is None
    assert cache.peek("his") is not None
    assert list(store.entries) == ["his"]
    assert await cache.erase("ann") == 0


async def test_erasing_reaches_memory_also_of_what_the_store_never_had(cache: ExpansionCache, store: MemoryStore, clock: Clock) -> None:
    store.down = True
    await cache.keep("key", entry(clock, personal=True), "ann")
    with pytest.raises(StoreUnavailable):
        await cache.erase("ann")
    assert cache.peek("key") is None


async def test_erasing_reaches_memory_also_of_what_came_from_the_store(cache: ExpansionCache, store: MemoryStore, clock: Clock) -> None:
    await store.put("key", entry(clock, personal=True), "ann")
    await cache.find("key")
    assert await cache.erase("ann") == 1
    assert cache.peek("key") is None


async def test_what_was_being_read_while_it_was_erased_is_not_kept(cache: ExpansionCache, store: MemoryStore, clock: Clock) -> None:
    await store.put("key", entry(clock, personal=True), "ann")
    store.slow_s = 0.02
    reading = asyncio.create_task(cache.find("key"))
    await asyncio.sleep(0)
    await cache.erase("ann")
    await reading
    assert cache.peek("key") is None
    assert await cache.find("key") is None


async def test_of_a_shared_store_memory_holds_nothing_personal(shared: ExpansionCache, clock: Clock) -> None:
    await shared.keep("hers", entry(clock, personal=True), "ann")
    await shared.keep("everybody's", entry(clock), None)
    assert shared.peek("hers") is None
    assert await shared.find("hers") == (entry(clock, personal=True), "fresh")
    assert shared.peek("hers") is None
    assert shared.peek("everybody's") is not None
    assert len(shared) == 1


async def test_where_no_erasure_of_another_replica_arrives_what_is_personal_ends_after_a_day(
    cache: ExpansionCache, shared: ExpansionCache, store: MemoryStore, clock: Clock
) -> None:
    for each in (cache, shared):
        await each.keep("mine", entry(clock, personal=True), "ann")
        await each.keep("anyones", entry(clock), None)
    clock.now += PERSONAL_TTL_S - 1
    assert {(await each.find("mine")).age for each in (cache, shared)} == {"stale"}  # type: ignore[union-attr]
    clock.now += 2
    assert await cache.find("mine") is None
    assert cache.peek("mine") is None
    assert (await shared.find("mine")) is not None
    assert (await cache.find("anyones")) is not None


async def test_a_replica_lets_go_of_what_another_made_anew_for_a_user(clock: Clock) -> None:
    here = MemoryStore(shared=True)
    ours, theirs = (ExpansionCache(store, 3, TTL_S, ExpanderMetrics(), clock) for store in (here, here.replica()))
    await ours.keep("key", entry(clock, age_s=2 * TTL_S), None)
    await theirs.keep("key", newer := entry(clock, personal=True), "ann")
    assert await ours.latest("key") == (newer, "fresh")
    assert await ours.find("key") == (newer, "fresh")
    await theirs.erase("ann")
    assert await ours.find("key") is None


async def test_a_read_that_took_long_does_not_hide_what_was_kept_meanwhile(cache: ExpansionCache, store: MemoryStore, clock: Clock) -> None:
    store.entries["key"], store.slow_s = entry(clock, age_s=2 * TTL_S), 0.01
    reading = asyncio.create_task(cache.find("key"))
    await asyncio.sleep(0)
    await cache.keep("key", newer := entry(clock), None)
    assert await reading == cache.peek("key") == (newer, "fresh")


async def test_a_store_that_is_down_leaves_what_memory_has(clock: Clock) -> None:
    store = MemoryStore(shared=True)
    cache = ExpansionCache(store, 3, TTL_S, ExpanderMetrics(), clock)
    await cache.keep("key", entry(clock), None)
    store.down = True
    assert await cache.find("key") == await cache.latest("key") == (entry(clock), "fresh")
    assert await cache.find("other") is None


async def test_each_interest_is_counted_once_by_where_it_was_found(
    cache: ExpansionCache, store: MemoryStore, clock: Clock, metrics: ExpanderMetrics
) -> None:
    store.entries["key"] = entry(clock)
    for key in ("key", "key", "missing"):
        if (kept := cache.peek(key)) is None or kept.age != "fresh":
            await cache.find(key)
    clock.now += TTL_S
    cache.peek("key")
    await cache.find("key")
    counted = {
        tuple(sample.labels.values()): sample.value
        for metric in metrics.cache.lookups.collect()
        for sample in metric.samples
        if sample.name.endswith("_total")
    }
    assert counted == {("memory", "fresh"): 1, ("store", "fresh"): 1, ("none", "missing"): 1, ("memory", "stale"): 1}
    assert metrics.registry.get_sample_value("expander_cache_entries") == 1


async def test_closing_closes_the_store(cache: ExpansionCache, store: MemoryStore) -> None:
    await cache.close()
    assert store.closed


KEYS, USERS = st.sampled_from("abcd"), st.sampled_from(["ann", "bob", None])


class CacheAgainstModel(RuleBasedStateMachine):
    """A cache of two entries before a store of its own, and what it should hold, written down as plainly as possible."""

    def __init__(self) -> None:
        super().__init__()
        self.clock, self.size = Clock(), 2
        self.cache = ExpansionCache(MemoryStore(), self.size, TTL_S, ExpanderMetrics(), self.clock)
        self.memory: OrderedDict[str, Entry] = OrderedDict()
        self.stored: dict[str, Entry] = {}
        self.owned: set[tuple[str, str]] = set()
        self.holder: dict[str, str | None] = {}

    def worth(self, entry: Entry | None) -> tuple[Entry, str] | None:
        if entry is None:
            return None
        age = self.clock.now - entry.made_at
        if entry.topics:
            return entry, "fresh" if age < TTL_S else "stale"
        return (entry, "negative") if age < NEGATIVE_TTL_S else None

    def remember(self, key: str, entry: Entry, user_id: str | None = None) -> None:
        self.memory[key] = entry
        self.memory.move_to_end(key)
        self.holder[key] = user_id or self.holder.get(key)
        while len(self.memory) > self.size:
            self.forget(next(iter(self.memory)))

    def forget(self, key: str) -> None:
        self.memory.pop(key, None)
        self.holder.pop(key, None)

    def look(self, key: str, *, further: bool) -> tuple[Entry, str] | None:
        if key in self.memory and self.worth(self.memory[key]) is None:
            self.forget(key)
        if key in self.memory:
            self.memory.move_to_end(key)
        elif further and key in self.stored:
            self.remember(key, self.stored[key])
        return self.worth(self.memory.get(key))

    @rule(key=KEYS, user_id=USERS, age_s=st.sampled_from([0.0, 100.0, 700.0]))
    def keep(self, key: str, user_id: str | None, age_s: float) -> None:
        entry = Entry(TOPICS, self.clock.now - age_s, personal=user_id is not None)
        asyncio.run(self.cache.keep(key, entry, user_id))
        self.remember(key, entry, user_id)
        self.stored[key] = entry
        self.owned |= {(user_id, key)} if user_id else set()

    @rule(key=KEYS, user_id=USERS)
    def refuse(self, key: str, user_id: str | None) -> None:
        asyncio.run(self.cache.keep_refusal(key, "too_few", user_id))
        found = self.look(key, further=True)
        if found and found[0].topics:
            entry = self.stored[key] = replace(found[0], refused_at=self.clock.now, cause="too_few")
            self.owned |= {(user_id, key)} if user_id else set()
        else:
            entry = Entry((), self.clock.now, cause="too_few", personal=user_id is not None)
        self.remember(key, entry, user_id)

    @rule(key=KEYS)
    def peek(self, key: str) -> None:
        assert self.cache.peek(key) == self.look(key, further=False)

    @rule(key=KEYS)
    def find(self, key: str) -> None:
        assert asyncio.run(self.cache.find(key)) == self.look(key, further=True)

    @rule(passed_s=st.sampled_from([1.0, 59.0, 61.0, 599.0]))
    def wait(self, passed_s: float) -> None:
        self.clock.now += passed_s

    @rule(user_id=st.sampled_from(["ann", "bob"]))
    def erase(self, user_id: str) -> None:
        stored = {key for owner, key in self.owned if owner == user_id and key in self.stored}
        gone = stored | {key for key, holder in self.holder.items() if holder == user_id}
        assert asyncio.run(self.cache.erase(user_id)) == len(gone)
        self.owned = {(owner, key) for owner, key in self.owned if owner != user_id}
        for key in stored:
            del self.stored[key]
        for key in gone:
            self.forget(key)

    @invariant()
    def memory_is_bounded(self) -> None:
        assert len(self.cache) == len(self.memory) <= self.size


CacheAgainstModel.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestCacheAgainstModel = CacheAgainstModel.TestCase
