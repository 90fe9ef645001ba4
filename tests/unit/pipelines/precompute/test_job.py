"""Expanding ahead of traffic by an expander that has no time, fails, refuses, or is away."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.fakes.precomputer import FakePrecomputer
from tests.fakes.services import Behaviour

from pipelines.precompute.job import CALLER, Outcome, Precompute, PrecomputeRefused

INTERESTS = [f"interest {number}" for number in range(25)]


@pytest.fixture
async def expander() -> AsyncIterator[FakePrecomputer]:
    async with FakePrecomputer() as running:
        yield running


async def expand(expander: FakePrecomputer, interests: list[str], **options: Any) -> Outcome:
    pauses: list[float] = options.pop("pauses", [])

    def work() -> Outcome:
        with Precompute(expander.url, **{"batch": 10, "sleep": pauses.append, **options}) as precompute:
            return precompute.run(interests)

    return await asyncio.to_thread(work)


async def test_every_interest_is_expanded_once_in_batches(expander: FakePrecomputer) -> None:
    assert await expand(expander, [*INTERESTS, "interest 3"], locale="de-AT") == Outcome(made=25)
    assert expander.kept == INTERESTS
    assert [len(asked.interests) for asked in expander.asked] == [10, 10, 5]
    assert {asked.locale for asked in expander.asked} == {"de-AT"}
    assert {headers["x-warmstart-caller"] for headers in expander.headers} == {CALLER}


async def test_what_is_pending_is_asked_for_again_until_nothing_is(expander: FakePrecomputer) -> None:
    expander.at_once = 3
    assert await expand(expander, INTERESTS) == Outcome(made=25)
    assert sorted(expander.kept) == sorted(INTERESTS)


async def test_a_second_run_finds_all_of_it_kept(expander: FakePrecomputer) -> None:
    await expand(expander, INTERESTS[:8])
    assert await expand(expander, INTERESTS) == Outcome(kept=8, made=17)


async def test_what_fails_is_tried_three_times_and_then_named_with_the_reason(expander: FakePrecomputer) -> None:
    expander.failing.update({"interest 4": 2, "interest 9": 3})
    outcome = await expand(expander, INTERESTS)
    assert outcome == Outcome(made=24, failed={"interest 9": "the LLM's answer is a refusal"})


async def test_what_the_expander_would_refuse_a_batch_for_is_not_sent(expander: FakePrecomputer) -> None:
    outcome = await expand(expander, ["space", "   ", "x" * 100_000, "nul\x00", " dragons  and wizards "])
    assert outcome.made == 2
    assert expander.kept == ["space", "dragons and wizards"]
    assert set(outcome.failed) == {"   ", "x" * 100_000, "nul\x00"}
    assert all(reason.startswith("it is not sent: ") for reason in outcome.failed.values())


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_a_busy_expander_is_asked_again_after_longer_and_longer_pauses(expander: FakePrecomputer, status: int) -> None:
    expander.refusing = [status] * 4
    pauses: list[float] = []
    assert await expand(expander, INTERESTS[:5], pauses=pauses) == Outcome(made=5)
    assert pauses == [0.5, 1, 2, 4]


async def test_without_an_llm_the_run_ends_at_once_with_the_remedy(expander: FakePrecomputer) -> None:
    expander.has_llm = False
    with pytest.raises(PrecomputeRefused, match="503: Nothing can be expanded ahead: there is no LLM here"):
        await expand(expander, INTERESTS)
    assert len(expander.calls) == 1


@pytest.mark.parametrize("status", [401, 413, 422])
async def test_a_refusal_that_does_not_pass_ends_the_run(expander: FakePrecomputer, status: int) -> None:
    expander.refusing = [status]
    with pytest.raises(PrecomputeRefused, match=f"{status}: Too much is going on"):
        await expand(expander, INTERESTS)


async def test_an_answer_that_breaks_the_contract_ends_the_run(expander: FakePrecomputer) -> None:
    expander.behaviour = Behaviour.BREAKS_THE_CONTRACT
    with pytest.raises(PrecomputeRefused, match="broke the contract"):
        await expand(expander, INTERESTS)
    expander.behaviour, expander.renames = Behaviour.ANSWERS, True
    with pytest.raises(PrecomputeRefused, match="other interests"):
        await expand(expander, INTERESTS)


async def test_an_expander_that_does_nothing_is_given_up_and_what_was_done_stays(expander: FakePrecomputer) -> None:
    await expand(expander, INTERESTS[:5])
    expander.at_once = 0
    with pytest.raises(PrecomputeRefused, match=r"20 interests are left.*no time was left"):
        await expand(expander, INTERESTS, patience_s=0.2)
    assert expander.kept == INTERESTS[:5]


async def test_an_expander_that_is_away_is_waited_for_and_then_given_up(expander: FakePrecomputer) -> None:
    await expander.stop()
    with pytest.raises(PrecomputeRefused, match="did not answer"):
        await expand(expander, INTERESTS, patience_s=0.2)


async def test_an_expander_that_comes_back_is_used(expander: FakePrecomputer) -> None:
    await expander.stop()
    loop = asyncio.get_running_loop()

    def back(_: float) -> None:
        if not expander.kept and not expander.asked:
            asyncio.run_coroutine_threadsafe(expander.start(), loop).result(5)

    def work() -> Outcome:
        with Precompute(expander.url, sleep=back) as precompute:
            return precompute.run(INTERESTS)

    assert await asyncio.to_thread(work) == Outcome(made=25)


async def test_one_that_answers_too_late_is_asked_again(expander: FakePrecomputer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.precompute.job.ANSWER_S", 0.1)
    expander.behaviour = Behaviour.STALLS
    with pytest.raises(PrecomputeRefused, match="ReadTimeout"):
        await expand(expander, INTERESTS, deadline_s=0.1, patience_s=0.3)
