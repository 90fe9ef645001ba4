"""When an LLM that fails is left alone, and how soon it is asked again."""

from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from prometheus_client import CollectorRegistry

from expander.breaker import LEAST_CALLS, OPEN_MOST_S, OPEN_S, WINDOW_CALLS, WINDOW_S, Breaker, Passage
from expander.errors import LlmShut
from expander.metrics import BREAKER_STATES, LlmMetrics


@dataclass
class World:
    """A breaker, a clock that moves when told, and what was counted."""

    now: float = 1_000.0
    chance: float = 1.0
    closings: int = 0
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def __post_init__(self) -> None:
        self.breaker = Breaker(LlmMetrics(self.registry), self.closed_again, clock=lambda: self.now, chance=lambda: self.chance)

    def closed_again(self) -> None:
        self.closings += 1

    def fail(self, times: int = 1) -> None:
        for _ in range(times):
            self.breaker.enter().failed()

    def opened(self) -> "World":
        self.fail(LEAST_CALLS)
        assert self.breaker.state == "open"
        return self

    def shown(self) -> str:
        """The state that the metrics tell."""
        (state,) = [each for each in BREAKER_STATES if self.registry.get_sample_value("expander_llm_breaker_state", {"state": each})]
        return state


def test_it_opens_when_half_of_what_it_saw_failed_and_not_on_a_few() -> None:
    world = World()
    world.fail(LEAST_CALLS - 1)
    assert world.breaker.state == "closed"
    world.fail()
    assert (world.breaker.state, world.shown()) == ("open", "open")
    with pytest.raises(LlmShut, match=r"another 1\.0 s") as shut:
        world.breaker.check()
    assert shut.value.retry_after_s == pytest.approx(OPEN_S)


def test_a_minority_of_failures_leaves_it_closed() -> None:
    world = World()
    for _ in range(50):
        world.breaker.enter().succeeded()
        world.breaker.enter().succeeded()
        world.fail()
    assert world.breaker.state == "closed"


def test_failures_of_long_ago_are_forgotten() -> None:
    world = World()
    world.fail(LEAST_CALLS - 1)
    world.now += WINDOW_S + 1
    world.fail(LEAST_CALLS - 1)
    assert world.breaker.state == "closed"


def test_no_more_outcomes_are_kept_than_may_be() -> None:
    world = World()
    for _ in range(WINDOW_CALLS + 10):
        world.breaker.enter().succeeded()
    world.fail(WINDOW_CALLS // 2 - 1)
    assert world.breaker.state == "closed"
    world.fail()
    assert world.breaker.state == "open"


def test_failures_that_were_pushed_out_are_not_counted_any_more() -> None:
    world = World()
    for at in range(3 * WINDOW_CALLS):
        call = world.breaker.enter()
        call.failed() if at % 5 >= 3 else call.succeeded()
    assert world.breaker.state == "closed"


def test_one_probe_at_a_time_and_one_that_succeeds_closes_it() -> None:
    world = World().opened()
    world.now += OPEN_S
    probe = world.breaker.enter()
    assert (world.breaker.state, world.shown()) == ("half_open", "half_open")
    with pytest.raises(LlmShut):
        world.breaker.enter()
    probe.succeeded()
    assert (world.breaker.state, world.shown(), world.closings) == ("closed", "closed", 1)
    world.fail(LEAST_CALLS - 1)  # what was before is forgotten
    assert world.breaker.state == "closed"


def test_each_probe_that_fails_doubles_the_time_up_to_a_bound_and_success_resets_it() -> None:
    world = World().opened()
    waits = []
    for _ in range(6):
        began = world.now
        while True:
            try:
                world.breaker.enter().failed()
                break
            except LlmShut:
                world.now += 0.25
        waits.append(world.now - began)
    assert waits == [1, 2, 4, 8, OPEN_MOST_S, OPEN_MOST_S]
    world.now += OPEN_MOST_S
    world.breaker.enter().succeeded()
    world.fail(LEAST_CALLS)
    world.now += OPEN_S
    world.breaker.enter()


def test_replicas_do_not_come_back_at_once() -> None:
    waits = []
    for chance in (0.0, 0.5, 1.0):
        with pytest.raises(LlmShut) as shut:
            World(chance=chance).opened().breaker.check()
        waits.append(shut.value.retry_after_s)
    assert waits == [pytest.approx(OPEN_S / 2), pytest.approx(OPEN_S * 3 / 4), pytest.approx(OPEN_S)]


def test_a_probe_that_hangs_does_not_keep_it_open() -> None:
    world = World().opened()
    world.now += OPEN_S
    hanging = world.breaker.enter()
    world.now += OPEN_S
    world.breaker.enter().succeeded()
    assert world.breaker.state == "closed"
    hanging.failed()
    world.fail(LEAST_CALLS - 1)  # the one that hung is not counted among them
    assert world.breaker.state == "closed"


def test_a_probe_that_is_cancelled_makes_room_for_the_next() -> None:
    world = World().opened()
    world.now += OPEN_S
    world.breaker.enter().left()
    assert world.breaker.state == "open"
    world.breaker.enter()
    assert world.breaker.state == "half_open"


def test_a_cancelled_call_says_nothing() -> None:
    world = World()
    for _ in range(3 * LEAST_CALLS):
        world.breaker.enter().left()
    world.fail(LEAST_CALLS - 1)
    assert world.breaker.state == "closed"


def test_calls_that_began_before_it_opened_neither_open_nor_close_it() -> None:
    world = World()
    early = [world.breaker.enter() for _ in range(4)]
    world.opened()
    early[0].succeeded()
    assert world.breaker.state == "open"
    world.now += OPEN_S
    world.breaker.enter().succeeded()
    for call in early[1:]:
        call.failed()
    world.fail(LEAST_CALLS - 1)
    assert world.breaker.state == "closed"


def test_what_a_call_tells_first_counts() -> None:
    world = World()
    for _ in range(LEAST_CALLS):
        call = world.breaker.enter()
        call.succeeded()
        call.failed()
        call.left()
    assert world.breaker.state == "closed"


def test_a_server_that_asks_for_rest_gets_it_within_bounds() -> None:
    world = World()
    world.breaker.rest(3)
    with pytest.raises(LlmShut):
        world.breaker.enter()
    world.now += 3
    world.breaker.enter()
    world.breaker.rest(86_400)
    world.now += OPEN_MOST_S
    world.breaker.enter()


class BreakerMachine(RuleBasedStateMachine):
    """Any calls, outcomes and pauses, against what a breaker promises."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.calls: list[Passage] = []

    @rule()
    def ask(self) -> None:
        before, wait_s = self.world.breaker.state, 0.0
        try:
            self.calls.append(self.world.breaker.enter())
        except LlmShut as shut:
            wait_s = shut.retry_after_s or -1.0
        assert wait_s == 0 or (before != "closed" and 0 < wait_s <= OPEN_MOST_S)

    @precondition(lambda self: self.calls)
    @rule(at=st.integers(0, 50), outcome=st.sampled_from(["succeeded", "failed", "failed", "failed", "left"]))
    def tell(self, at: int, outcome: str) -> None:
        getattr(self.calls.pop(at % len(self.calls)), outcome)()

    @rule(seconds=st.floats(0, 6))
    def wait(self, seconds: float) -> None:
        self.world.now += seconds

    @rule()
    def come_back_after_the_longest_pause(self) -> None:
        """Whatever went before, after ten seconds without an outcome a call is let through."""
        self.world.now += OPEN_MOST_S
        self.calls.append(self.world.breaker.enter())

    @rule(times=st.integers(1, 8))
    def fail_repeatedly(self, times: int) -> None:
        for _ in range(times):
            try:
                self.world.breaker.enter().failed()
            except LlmShut:
                return

    @invariant()
    def the_metrics_tell_the_state(self) -> None:
        assert self.world.shown() == self.world.breaker.state

    @invariant()
    def it_is_half_open_while_a_probe_is_out(self) -> None:
        era = self.world.breaker._era
        probes = [call for call in self.calls if call.probe and call.era == era]
        assert (self.world.breaker.state == "half_open") == bool(probes)


TestBreaker = BreakerMachine.TestCase
TestBreaker.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
