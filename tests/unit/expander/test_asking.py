"""Questions to a real server that fails in every way, and what each is counted as."""

import asyncio
from dataclasses import replace

import pytest
from tests.fakes import llm as fake
from tests.fakes.llm import COMPLETION_TOKENS, GOOD, PROMPT_TOKENS, FakeLlm
from tests.unit.expander.questions import PROMPT, Asking, asking, until

from expander.asking import AGAIN_TEMPERATURE
from expander.breaker import OPEN_S
from expander.errors import LlmInvalid, LlmLate, LlmOverBudget, LlmRefused, LlmShut, LlmUnreachable
from expander.readings import Answered
from expander.runtimes.table import PROFILES
from expander.settings import Price
from servicekit.deadline import Deadline

NONSENSE = fake.says("I would suggest court intrigue.")


async def test_an_answer_comes_with_what_it_took(llm: FakeLlm) -> None:
    async with asking(llm) as asked:
        assert await asked.ask() == Answered(GOOD, PROMPT_TOKENS, COMPLETION_TOKENS, 1)
    assert asked.count("expander_llm_readings_total", cause="accepted") == 1
    assert asked.count("expander_llm_answers_total") == 1


async def test_an_unusable_answer_is_asked_for_once_more_and_not_in_the_same_way(llm: FakeLlm) -> None:
    llm.plays(NONSENSE, fake.lists(*GOOD))
    async with asking(llm) as asked:
        assert await asked.ask() == Answered(GOOD, 2 * PROMPT_TOKENS, 2 * COMPLETION_TOKENS, 2)
    assert [sent["temperature"] for sent in llm.requests] == [0.0, AGAIN_TEMPERATURE]
    assert asked.count("expander_llm_readings_total", cause="not_json") == 1
    assert asked.count("expander_llm_retries_total", kind="again", outcome="accepted") == 1
    assert asked.count("expander_invalid_answers_total") == 1


async def test_two_unusable_answers_are_a_failure_with_its_cause(llm: FakeLlm) -> None:
    llm.plays(fake.sends(b"{}"), NONSENSE)
    async with asking(llm) as asked:
        with pytest.raises(LlmInvalid, match="nothing acceptable") as raised:
            await asked.ask()
    assert raised.value.cause == "not_json"
    assert len(llm.requests) == 2
    assert asked.count("expander_llm_readings_total", cause="not_completion") == 1
    assert asked.count("expander_llm_answers_total") == 0


async def test_where_a_second_answer_can_only_be_the_same_none_is_asked_for(llm: FakeLlm) -> None:
    llm.plays(NONSENSE, fake.lists(*GOOD))
    async with asking(llm, profile="trn2") as asked:
        assert await asked.outcomes(1) == ["invalid"]
    assert len(llm.requests) == 1


FAILING = {
    "500": (fake.fails(500), LlmRefused, "refused"),
    "401": (fake.fails(401), LlmRefused, "refused"),
    "hangs up": (fake.hangs_up, LlmUnreachable, "unreachable"),
    "stalls": (fake.stalls, LlmLate, "late"),
}


@pytest.mark.parametrize("name", FAILING)
async def test_a_server_that_fails_is_asked_once(llm: FakeLlm, name: str) -> None:
    step, kind, outcome = FAILING[name]
    llm.plays(step)
    async with asking(llm) as asked:
        with pytest.raises(kind):
            await asked.ask(0.2)
    assert len(llm.requests) == 1
    assert asked.count("expander_llm_calls_total", outcome=outcome) == 1
    assert asked.count("expander_llm_unsent_total", reason=outcome) == 0


async def test_second_calls_are_bounded_when_every_answer_is_unusable(llm: FakeLlm) -> None:
    llm.plays(NONSENSE)
    async with asking(llm, concurrency=4, queue=200, retry_share=0.1) as asked:
        assert await asked.outcomes(100) == ["invalid"] * 100
    assert len(llm.requests) <= 100 + 100 * 0.1 + 10
    assert asked.count("expander_llm_retries_total", kind="again", outcome="no_budget") >= 80


async def test_a_failing_server_is_left_alone_and_asked_again_within_seconds(llm: FakeLlm) -> None:
    llm.plays(fake.fails(500))
    async with asking(llm, concurrency=4) as asked:
        outcomes = [(await asked.outcomes(1))[0] for _ in range(50)]
        assert (outcomes.count("refused"), outcomes.count("shut")) == (5, 45)
        assert asked.count("expander_llm_breaker_state", state="open") == 1
        assert asked.count("expander_llm_unsent_total", reason="shut") == 45
        llm.plays(fake.lists(*GOOD))
        await asyncio.wait_for(recovered(asked), 3)
        assert asked.count("expander_llm_breaker_state", state="closed") == 1


async def test_a_probe_that_is_cancelled_leaves_the_way_to_the_next(llm: FakeLlm) -> None:
    llm.plays(fake.fails(500))
    async with asking(llm) as asked:
        assert await asked.outcomes(5) == ["refused"] * 5
        llm.plays(fake.stalls)
        await asyncio.sleep(OPEN_S)
        probe = asyncio.create_task(asked.ask())
        await until(lambda: llm.in_flight)
        assert asked.count("expander_llm_breaker_state", state="half_open") == 1
        probe.cancel()
        await asyncio.wait({probe})
        assert asked.count("expander_llm_breaker_state", state="open") == 1
        llm.plays(fake.lists(*GOOD))
        assert await asked.outcomes(1) == ["answered"]


async def recovered(asked: Asking) -> None:
    while await asked.outcomes(1) != ["answered"]:
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("step", [NONSENSE, fake.fails(429), fake.fails(404)])
async def test_a_server_that_answers_however_badly_is_not_left_alone(llm: FakeLlm, step: fake.Step) -> None:
    llm.plays(step)
    async with asking(llm) as asked:
        assert "shut" not in [(await asked.outcomes(1))[0] for _ in range(20)]


async def test_a_server_that_says_when_to_come_back_is_obeyed(llm: FakeLlm) -> None:
    llm.plays(fake.fails(429, retry_after="1"), fake.lists(*GOOD))
    async with asking(llm) as asked:
        assert await asked.outcomes(1) + await asked.outcomes(1) == ["refused", "shut"]
        with pytest.raises(LlmShut) as shut:
            await asked.ask()
        assert shut.value.retry_after_s == pytest.approx(1, abs=0.3)
        await asyncio.wait_for(recovered(asked), 3)


async def test_the_tokens_of_a_minute_are_what_the_server_counted(llm: FakeLlm) -> None:
    async with asking(llm, tokens_per_minute_per_key=480) as asked:  # 200 are reserved for each question, 140 used
        for _ in range(3):
            await asked.ask(caller="a")
        with pytest.raises(LlmOverBudget) as raised:
            await asked.ask(caller="a")
        assert raised.value.retry_after_s == pytest.approx((200 - 60) / 480 * 60, abs=1)
        await asked.ask(caller="b")
    assert len(llm.requests) == 4
    assert asked.count("expander_llm_unsent_total", reason="over_budget") == 1


async def test_what_was_never_answered_costs_nothing_of_the_budget(llm: FakeLlm) -> None:
    llm.plays(fake.fails(429), fake.hangs_up, fake.lists(*GOOD))
    async with asking(llm, tokens_per_minute=200) as asked:
        assert [(await asked.outcomes(1))[0] for _ in range(3)] == ["refused", "unreachable", "answered"]


async def test_what_was_given_up_costs_what_was_reserved(llm: FakeLlm) -> None:
    llm.plays(fake.stalls)
    async with asking(llm, tokens_per_minute=399) as asked:
        assert (await asked.outcomes(1, 0.05), await asked.outcomes(1, 0.05)) == (["late"], ["over_budget"])


async def test_one_who_leaves_the_queue_gives_its_tokens_back(llm: FakeLlm) -> None:
    llm.plays(fake.stalls)
    async with asking(llm, concurrency=1, tokens_per_minute=400) as asked:
        first = asyncio.create_task(asked.ask())
        await until(lambda: llm.in_flight)
        for _ in range(3):
            assert await asked.outcomes(1, 0.02) == ["late"]
        llm.released.set()
        await first
        assert await asked.outcomes(1) == ["answered"]
    assert asked.count("expander_llm_unsent_total", reason="late") == 3


async def test_a_cancelled_question_reaches_the_server_and_leaves_nothing_behind(llm: FakeLlm) -> None:
    llm.plays(fake.stalls)
    async with asking(llm, concurrency=2, queue=8) as asked:
        await until(lambda: asked.llm.structured.found != "unknown")
        tasks = [asyncio.create_task(asked.ask()) for _ in range(6)]
        await until(lambda: llm.in_flight == 2)
        assert asked.count("expander_llm_queue_waiting", lane="live") == 4
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await until(lambda: llm.in_flight == 0)
        assert asked.count("expander_llm_queue_waiting", lane="live") == 0
        assert asked.count("expander_llm_permits_in_use") == 0
        assert asked.count("expander_llm_unsent_total", reason="abandoned") == 4
        llm.released.set()
        assert await asked.outcomes(4) == ["answered"] * 4
    assert [task for task in asyncio.all_tasks() if "/expander/expander/" in repr(task)] == []


async def test_a_slow_answer_is_overtaken_by_a_hedge_and_given_up(llm: FakeLlm) -> None:
    llm.plays(fake.stalls, fake.lists(*GOOD))
    async with asking(llm, hedge_after_ms=30) as asked:
        answered = await asked.ask()
        assert (answered.value, answered.calls) == (GOOD, 2)
        await until(lambda: llm.in_flight == 0)
        assert asked.count("expander_llm_permits_in_use") == 0
    assert asked.count("expander_llm_retries_total", kind="hedge", outcome="accepted") == 1
    assert asked.count("expander_llm_calls_total", outcome="abandoned") == 1


async def test_a_hedge_that_is_no_use_leaves_the_first_answer_its_time(llm: FakeLlm) -> None:
    for step in (NONSENSE, fake.fails(500), fake.hangs_up, fake.stalls):
        llm.plays(fake.after(0.15, fake.lists(*GOOD)), step)
        async with asking(llm, hedge_after_ms=30) as asked:
            assert (await asked.ask()).value == GOOD
        assert asked.count("expander_llm_retries_total", kind="hedge", outcome="failed") == 1


async def test_a_quick_answer_is_not_hedged_and_a_quick_failure_neither(llm: FakeLlm) -> None:
    async with asking(llm, hedge_after_ms=2_000) as asked:
        await asked.ask()
        llm.plays(fake.fails(500))
        assert await asked.outcomes(1) == ["refused"]
    assert len(llm.requests) == 2


async def test_hedges_take_free_places_only_and_their_share_of_calls(llm: FakeLlm) -> None:
    llm.latency_s = 0.1
    async with asking(llm, hedge_after_ms=20, concurrency=2) as asked:
        assert await asked.outcomes(2) == ["answered"] * 2
    assert len(llm.requests) == 2
    async with asking(llm, hedge_after_ms=20, concurrency=64, retry_share=0.0) as asked:
        assert await asked.outcomes(8) == ["answered"] * 8
    assert len(llm.requests) == 10


async def test_a_cancelled_question_takes_its_hedge_with_it(llm: FakeLlm) -> None:
    llm.plays(fake.stalls)
    async with asking(llm, hedge_after_ms=10) as asked:
        task = asyncio.create_task(asked.ask())
        await until(lambda: llm.in_flight == 2)
        task.cancel()
        await until(lambda: llm.in_flight == 0)
        await asyncio.wait({task})
        assert asked.count("expander_llm_permits_in_use") == 0


async def test_costs_and_savings_are_counted_by_the_price_of_the_model(llm: FakeLlm) -> None:
    price = Price(prompt_per_million=1.0, completion_per_million=5.0)
    async with asking(llm, prices={"*": price}) as asked:
        answered = await asked.ask()
        asked.llm.saved(answered.tokens, answered.completion_tokens)
    cost = (PROMPT_TOKENS + 5 * COMPLETION_TOKENS) / 1e6
    assert asked.count("expander_llm_cost_total") == pytest.approx(cost)
    assert asked.count("expander_llm_saved_cost_total") == pytest.approx(cost)
    assert asked.count("expander_llm_cost_per_thousand_expansions") == pytest.approx(1_000 * cost)


@pytest.mark.parametrize(("profile", "at_once"), [("trn1-sdk2.28", 16), ("trn2", 16), ("gpu", 128), ("cpu", 8), ("external", 16)])
async def test_as_many_are_asked_at_once_as_the_profile_works_on_twice_over(llm: FakeLlm, profile: str, at_once: int) -> None:
    llm.plays(fake.stalls)
    assert PROFILES[profile].concurrency == at_once
    async with asking(llm, profile=profile, queue=1_000) as asked:
        tasks = [asyncio.create_task(asked.ask(60)) for _ in range(at_once + 5)]
        await until(lambda: llm.in_flight == at_once, 30)
        assert asked.count("expander_llm_queue_waiting", lane="live") == 5
        llm.released.set()
        await asyncio.gather(*tasks)
    assert llm.most_in_flight == at_once


async def test_the_check_asks_for_the_models(llm: FakeLlm) -> None:
    async with asking(llm) as asked:
        await asked.llm.check(Deadline.after_ms(1_000))
    async with asking(replace(llm, url="http://127.0.0.1:1/v1")) as asked:
        with pytest.raises(LlmUnreachable):
            await asked.llm.check(Deadline.after_ms(1_000))


async def test_a_prompt_may_be_hotter_than_a_second_call(llm: FakeLlm) -> None:
    llm.plays(NONSENSE)
    async with asking(llm) as asked:
        with pytest.raises(LlmInvalid):
            await asked.ask(prompt=replace(PROMPT, temperature=0.9))
    assert [sent["temperature"] for sent in llm.requests] == [0.9, 0.9]
