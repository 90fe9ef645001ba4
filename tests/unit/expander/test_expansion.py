"""Expansions over HTTP, with a real server in the LLM's place that behaves badly in every way we know."""

import asyncio
import time
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import httpx2
import pytest
from tests.fakes import llm as fake
from tests.fakes.llm import GOOD, FakeLlm
from tests.unit.expander.conftest import Service

from servicekit.deadline import HEADER

INTEREST = "space opera"
INVALID = {
    "cut by length": fake.says('{"topics": ["court intrigue", "galactic empires", "first contact"]}', "length"),
    "cut JSON": fake.says('{"topics": ["court intrigue", "galactic'),
    "prose only": fake.says("I would suggest court intrigue, galactic empires and first contact."),
    "empty text": fake.says(""),
    "no text": fake.says(None),
    "a list as text": fake.says(list(GOOD)),
    "error strings": fake.lists("<ERROR: skipped>", "Error: timeout", "None", "N/A"),
    "empties": fake.lists("", " ", "\n", ""),
    "duplicates": fake.lists("court intrigue", "Court Intrigue", "court  intrigue", "court intrigues"),
    "echoes": fake.lists("space opera", "Space Operas", "SPACE OPERA"),
    "wrong types": fake.lists(1, None, {"topic": "court intrigue"}, ["first contact"]),
    "not JSON": fake.sends(b"<html>502 Bad Gateway</html>"),
    "not a completion": fake.sends(b'{"error": "overloaded"}'),
    "endless": fake.sends(b" " * 200_000),
}
FAILING = {
    "500": fake.fails(500),
    "429": fake.fails(429),
    "401": fake.fails(401),
    "400": fake.fails(400),
    "hangs up": fake.hangs_up,
    "redirect": fake.redirects("/v1/chat/completions"),
}


async def expand(client: httpx2.AsyncClient, *interests: str, **more: Any) -> dict[str, Any]:
    answer = await client.post("/v1/expand", json={"interests": interests or (INTEREST,), "deadline_ms": 5_000, **more})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def is_fallback(answer: dict[str, Any]) -> bool:
    expansion = answer["expansions"][0]
    assert expansion["source"] == "cooccurrence"
    assert 1 <= len(expansion["topics"]) <= 5
    assert "ERROR" not in str(answer)
    return bool(answer["degraded"] and expansion["fallback_reason"])


async def test_a_good_answer_is_proposed_and_then_cached(service: Service, artefact: Path, llm: FakeLlm) -> None:
    async with service(llm_url=llm.url) as client:
        first, second = await expand(client), await expand(client, "  Space OPERA ")
    assert first["expansions"][0] == {
        "interest": INTEREST,
        "topics": list(GOOD),
        "source": "llm",
        "model": "fake",
        "prompt_version": "topics-2",
        "cached": False,
        "stale": False,
        "pending": False,
        "grounding": [{"topic": topic, "label": "science fiction" if "science fiction" in topic else None, "kind": ANY} for topic in GOOD],
        "fallback_reason": None,
    }
    assert second["expansions"][0]["cached"]
    assert not first["degraded"]
    assert not second["degraded"]
    assert len(llm.requests) == 1


@pytest.mark.parametrize("answer", INVALID.values(), ids=INVALID)
async def test_an_invalid_answer_is_asked_again_once_then_left_alone_for_a_while_and_never_kept(
    service: Service, artefact: Path, llm: FakeLlm, answer: fake.Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    llm.plays(answer)
    async with service(llm_url=llm.url) as client:
        assert is_fallback(await expand(client))
        assert is_fallback(await expand(client))
        assert len(llm.requests) == 2
        llm.plays(fake.lists(*GOOD))
        monkeypatch.setattr("expander.cache.NEGATIVE_TTL_S", 0.0)
        good = await expand(client)
    assert good["expansions"][0]["topics"] == list(GOOD)
    assert not good["expansions"][0]["cached"]


@pytest.mark.parametrize("answer", INVALID.values(), ids=INVALID)
async def test_a_good_second_answer_makes_up_for_an_invalid_first(
    service: Service, artefact: Path, llm: FakeLlm, answer: fake.Step
) -> None:
    llm.plays(answer, fake.says(f"Here you are:\n```json\n{list(GOOD)}\n```".replace("'", '"')))
    async with service(llm_url=llm.url) as client:
        good = await expand(client)
    assert good["expansions"][0]["topics"] == list(GOOD)
    assert not good["degraded"]
    assert len(llm.requests) == 2


@pytest.mark.parametrize("failure", FAILING.values(), ids=FAILING)
async def test_a_failing_server_is_not_asked_again_and_nothing_is_kept(
    service: Service, artefact: Path, llm: FakeLlm, failure: fake.Step
) -> None:
    llm.plays(failure)
    async with service(llm_url=llm.url) as client:
        assert is_fallback(await expand(client))
        assert len(llm.requests) == (2 if failure is FAILING["400"] else 1)  # 400 may mean the response format: once without it
        llm.plays(fake.lists(*GOOD))
        good = await expand(client)
    assert good["expansions"][0]["source"] == "llm"
    assert not good["expansions"][0]["cached"]


async def test_nobody_listening_is_answered_by_the_catalogue(service: Service, artefact: Path) -> None:
    async with service(llm_url="http://127.0.0.1:9/v1") as client:
        assert is_fallback(await expand(client))


async def test_without_an_artefact_a_failing_llm_leaves_honest_nothing(service: Service, llm: FakeLlm) -> None:
    llm.plays(fake.fails(500))
    async with service(llm_url=llm.url) as client:
        answer = await expand(client)
    expansion = answer["expansions"][0]
    assert (expansion["source"], expansion["topics"], expansion["model"]) == ("none", [], "none")
    assert "500" in expansion["fallback_reason"]
    assert answer["degraded"]


@pytest.mark.timed
async def test_a_stalled_llm_does_not_hold_the_answer_past_the_deadline(service: Service, artefact: Path, llm: FakeLlm) -> None:
    llm.plays(fake.stalls)
    async with service(llm_url=llm.url) as client:
        took_ms = []
        for interest in ("space", "aliens", "sci fi"):
            started = time.perf_counter()
            assert is_fallback(await expand(client, interest, "vampires", deadline_ms=100))
            took_ms.append((time.perf_counter() - started) * 1_000)
    assert 50 <= min(took_ms) <= 100  # the best of three: a busy machine may wake a process late


async def test_the_callers_header_shortens_the_deadline(service: Service, artefact: Path, llm: FakeLlm) -> None:
    llm.plays(fake.stalls)
    async with service(llm_url=llm.url) as client:
        body = {"interests": [INTEREST], "deadline_ms": 60_000}
        answer = await asyncio.wait_for(client.post("/v1/expand", json=body, headers={HEADER: "50"}), 5)
    assert is_fallback(answer.json())


async def test_a_late_answer_is_there_for_the_next_who_asks(service: Service, artefact: Path, llm: FakeLlm) -> None:
    llm.plays(fake.stalls)
    async with service(llm_url=llm.url) as client:
        assert is_fallback(await expand(client, deadline_ms=50))
        llm.released.set()
        answer = await expand(client)
    assert answer["expansions"][0]["topics"] == list(GOOD)
    assert len(llm.requests) == 1


async def test_the_same_interest_at_the_same_time_is_one_call(service: Service, artefact: Path, llm: FakeLlm) -> None:
    llm.plays(fake.stalls)
    async with service(llm_url=llm.url) as client:
        asked = [asyncio.create_task(expand(client, INTEREST, "Space  opera")) for _ in range(8)]
        while not llm.requests:
            await asyncio.sleep(0.005)
        asked.pop().cancel()  # one caller going away takes nothing from the others
        llm.released.set()
        answers = await asyncio.gather(*asked)
    assert len(llm.requests) == 1
    assert all(expansion["topics"] == list(GOOD) for answer in answers for expansion in answer["expansions"])


async def test_the_interests_of_a_request_are_expanded_at_once_and_in_order(service: Service, artefact: Path, llm: FakeLlm) -> None:
    llm.plays(fake.stalls)
    interests = [f"interest {number}" for number in range(6)]
    async with service(llm_url=llm.url) as client:
        asked = asyncio.create_task(expand(client, *interests))
        while llm.in_flight < 6:
            await asyncio.sleep(0.005)
        llm.released.set()
        answer = await asked
    assert [expansion["interest"] for expansion in answer["expansions"]] == interests


async def test_beyond_the_permits_the_catalogue_answers_at_once(service: Service, artefact: Path, llm: FakeLlm) -> None:
    llm.plays(fake.stalls)
    async with service(llm_url=llm.url, llm_limits={"concurrency": 2, "queue": 0}) as client:
        waiting = asyncio.create_task(expand(client, "one", "two"))
        while llm.in_flight < 2:
            await asyncio.sleep(0.005)
        answer = await expand(client, INTEREST)
        assert is_fallback(answer)
        assert "as many as may" in answer["expansions"][0]["fallback_reason"]
        llm.released.set()
        await waiting
        assert (await expand(client, INTEREST))["expansions"][0]["source"] == "llm"  # the permits came back
    assert llm.most_in_flight == 2


async def test_a_stale_expansion_serves_while_the_llm_fails_and_says_so(service: Service, artefact: Path, llm: FakeLlm) -> None:
    new = ("asteroid mining", "generation ships", "alien diplomacy")
    async with service(llm_url=llm.url, cache_ttl_s=0.05) as client:
        await expand(client)
        await asyncio.sleep(0.06)
        llm.plays(fake.fails(500))
        for number in range(8):
            assert (await expand(client, f"other interest {number}"))["degraded"]
        answer = await expand(client)
        expansion = answer["expansions"][0]
        assert (expansion["source"], expansion["cached"], expansion["topics"]) == ("llm", True, list(GOOD))
        assert "left alone" in expansion["fallback_reason"]
        assert answer["degraded"]
        llm.plays(fake.lists(*new))
        async with asyncio.timeout(10):
            while tuple((await expand(client))["expansions"][0]["topics"]) != new:
                await asyncio.sleep(0.05)


async def test_a_restart_keeps_the_expansions(service: Service, artefact: Path, llm: FakeLlm) -> None:
    async with service(llm_url=llm.url) as client:
        await expand(client)
    async with service(llm_url=llm.url) as client:
        answer = await expand(client)
    assert answer["expansions"][0]["cached"]
    assert len(llm.requests) == 1


async def test_stopping_does_not_wait_for_a_stalled_llm(service: Service, artefact: Path, llm: FakeLlm) -> None:
    llm.plays(fake.stalls)
    async with asyncio.timeout(5):
        async with service(llm_url=llm.url) as client:
            await expand(client, deadline_ms=30)
