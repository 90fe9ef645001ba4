"""Whether the LLM is waited for, asked behind the answer, or left out; and what the next request gets."""

import asyncio
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.fakes import llm as fake
from tests.fakes.llm import GOOD, FakeLlm
from tests.unit.expander.conftest import Service
from tests.unit.expander.test_expansion import expand

from contracts.expander import ExpandResponse

INTEREST = "space opera"
NEW = ("asteroid mining", "generation ships", "alien diplomacy")


async def settled(client: httpx2.AsyncClient, *interests: str, **more: Any) -> dict[str, Any]:
    """The first answer that the LLM is not asked behind."""
    async with asyncio.timeout(10):
        while (answer := await expand(client, *interests, mode="async", **more))["expansions"][0]["pending"]:
            await asyncio.sleep(0.01)
    return answer


async def test_async_answers_from_the_catalogue_at_once_and_from_the_llm_next(service: Service, artefact: Path, llm: FakeLlm) -> None:
    llm.plays(fake.stalls)
    async with service(llm_url=llm.url) as client:
        first = await expand(client, "vampires", mode="async")
        assert first["expansions"][0]["topics"] == ["paranormal romance"]
        assert first["expansions"][0]["pending"]
        assert not first["degraded"]
        llm.released.set()
        second, third = await settled(client, "vampires"), await expand(client, "vampires")
    assert second["expansions"][0]["topics"] == third["expansions"][0]["topics"] == list(GOOD)
    assert third["expansions"][0]["cached"]
    assert len(llm.requests) == 1


async def test_off_asks_nobody_but_gives_what_is_kept(service: Service, artefact: Path, llm: FakeLlm) -> None:
    async with service(llm_url=llm.url) as client:
        off = await expand(client, mode="off")
        assert (off["expansions"][0]["source"], off["expansions"][0]["pending"], off["degraded"]) == ("cooccurrence", False, False)
        assert llm.requests == []
        await expand(client)
        assert (await expand(client, mode="off"))["expansions"][0]["topics"] == list(GOOD)
    assert len(llm.requests) == 1


@pytest.mark.parametrize("mode", ["wait", "async"])
async def test_what_is_stale_answers_at_once_and_is_made_anew_behind(service: Service, artefact: Path, llm: FakeLlm, mode: str) -> None:
    async with service(llm_url=llm.url, cache_ttl_s=0.05) as client:
        await expand(client)
        await asyncio.sleep(0.06)
        llm.plays(fake.stalls, fake.lists(*NEW))
        stale = await expand(client, mode=mode)
        assert (stale["expansions"][0]["topics"], stale["expansions"][0]["stale"], stale["degraded"]) == (list(GOOD), True, False)
        async with asyncio.timeout(5):
            while len(llm.requests) < 2:
                await asyncio.sleep(0.005)
            assert (await expand(client, mode=mode))["expansions"][0]["stale"]  # and is still being made
        assert len(llm.requests) == 2
        llm.released.set()


async def test_a_failure_behind_an_answer_is_no_topics_and_asked_again(service: Service, artefact: Path, llm: FakeLlm) -> None:
    llm.plays(fake.fails(500), fake.lists(*GOOD))
    async with service(llm_url=llm.url) as client:
        first = await expand(client, "vampires", mode="async")
        assert first["expansions"][0]["source"] == "cooccurrence"
        async with asyncio.timeout(5):
            while len(llm.requests) < 1 or llm.in_flight:
                await asyncio.sleep(0.005)
        assert (await settled(client, "vampires"))["expansions"][0]["topics"] == list(GOOD)


async def test_what_the_queue_refuses_is_not_said_to_be_pending(service: Service, artefact: Path, llm: FakeLlm) -> None:
    llm.plays(fake.stalls)
    async with service(llm_url=llm.url, llm_limits={"concurrency": 1, "queue": 0}) as client:
        assert (await expand(client, "space", mode="async"))["expansions"][0]["pending"]
        async with asyncio.timeout(5):
            while not llm.requests:
                await asyncio.sleep(0.005)
        refused = await expand(client, "vampires", mode="async")
        assert not refused["expansions"][0]["pending"]
        assert "as many as may" in refused["expansions"][0]["fallback_reason"]
        assert refused["expansions"][0]["topics"] == ["paranormal romance"]
        assert refused["degraded"]
        llm.released.set()


async def test_fewer_topics_are_the_first_of_the_same_expansion(service: Service, artefact: Path, llm: FakeLlm) -> None:
    async with service(llm_url=llm.url) as client:
        five = await expand(client)
        two = await expand(client, max_topics=2)
    assert two["expansions"][0]["topics"] == five["expansions"][0]["topics"][:2] == list(GOOD[:2])
    assert len(two["expansions"][0]["grounding"]) == 2
    assert len(llm.requests) == 1


async def test_a_history_alone_gets_one_expansion_and_is_told_to_the_llm(service: Service, artefact: Path, llm: FakeLlm) -> None:
    history = [{"title": "The Vampire Lestat", "stars": 5, "review": "Brooding and lush."}, {"title": "Emma"}]
    async with service(llm_url=llm.url) as client:
        answer = await client.post("/v1/expand", json={"history": history, "mode": "wait"})
        assert answer.status_code == 200, answer.text
        (expansion,) = answer.json()["expansions"]
        assert (expansion["interest"], expansion["topics"]) == ("", list(GOOD))
        other = await client.post("/v1/expand", json={"history": history[:1], "mode": "wait"})
        assert not other.json()["expansions"][0]["cached"]  # it is another question
    assert "Brooding and lush." in llm.requests[0]["messages"][1]["content"]


async def test_the_answer_is_what_the_contract_says(service: Service, artefact: Path, llm: FakeLlm) -> None:
    async with service(llm_url=llm.url) as client:
        for mode in ("wait", "async", "off"):
            sent = (await client.post("/v1/expand", json={"interests": ["space", "vampires"], "mode": mode, "deadline_ms": 5_000})).json()
            assert ExpandResponse.model_validate(sent).model_dump(mode="json") == sent


async def test_topics_are_marked_with_what_they_are_in_the_catalogue(service: Service, artefact: Path, llm: FakeLlm) -> None:
    llm.plays(fake.lists("cosy mysteries", "quantum knitting", "spy thrillers"))
    async with service(llm_url=llm.url) as client:
        (expansion,) = (await expand(client))["expansions"]
        metrics = (await client.get("/metrics")).text
    assert expansion["grounding"] == [
        {"topic": "cosy mysteries", "label": "cozy mystery", "kind": "subject"},
        {"topic": "quantum knitting", "label": None, "kind": None},
        {"topic": "spy thrillers", "label": "spy thriller", "kind": "subject"},
    ]
    assert 'expander_topics_total{grounding="subject"} 2.0' in metrics
    assert 'expander_topics_total{grounding="off_catalogue"} 1.0' in metrics


async def test_an_erased_users_topics_are_gone_and_those_of_others_stay(service: Service, artefact: Path, llm: FakeLlm) -> None:
    async with service(llm_url=llm.url) as client:
        await expand(client, "my own strange interest", user_id="ann")
        await expand(client, "space", user_id="bob")
        assert (await client.delete("/v1/users/ann/expansions")).json() == {"erased": 1}
        assert not (await expand(client, "my own strange interest", user_id="ann"))["expansions"][0]["cached"]
        assert (await expand(client, "space"))["expansions"][0]["cached"]
        assert (await client.delete("/v1/users/nobody/expansions")).json() == {"erased": 0}


async def test_what_is_being_made_for_an_erased_user_is_not_kept(service: Service, artefact: Path, llm: FakeLlm) -> None:
    llm.plays(fake.stalls)
    async with service(llm_url=llm.url) as client:
        await expand(client, mode="async", user_id="ann")
        async with asyncio.timeout(5):
            while not llm.requests:
                await asyncio.sleep(0.005)
        await client.delete("/v1/users/ann/expansions")
        llm.released.set()
        async with asyncio.timeout(5):
            while llm.in_flight:
                await asyncio.sleep(0.005)
        await asyncio.sleep(0.05)
        assert (await expand(client, mode="off"))["expansions"][0]["source"] == "cooccurrence"


async def test_precomputing_fills_the_cache_once(service: Service, artefact: Path, llm: FakeLlm) -> None:
    interests = [f"interest number {letter * 3}" for letter in "abcdefgh"]
    async with service(llm_url=llm.url) as client:
        first = (await client.post("/v1/expansions:precompute", json={"interests": interests})).json()["results"]
        again = (await client.post("/v1/expansions:precompute", json={"interests": interests})).json()["results"]
        served = await expand(client, *interests)
    assert [one["status"] for one in first] == ["made"] * 8
    assert [one["interest"] for one in first] == interests
    assert [one["status"] for one in again] == ["kept"] * 8
    assert all(one["cached"] for one in served["expansions"])
    assert len(llm.requests) == 8


async def test_precomputing_tells_what_failed_and_what_had_no_time(service: Service, artefact: Path, llm: FakeLlm) -> None:
    llm.plays(fake.says("nonsense without topics"))
    async with service(llm_url=llm.url) as client:
        (failed,) = (await client.post("/v1/expansions:precompute", json={"interests": ["one"]})).json()["results"]
        assert failed["status"] == "failed"
        assert failed["reason"]
        llm.plays(fake.stalls)
        late = (await client.post("/v1/expansions:precompute", json={"interests": ["two", "three"], "deadline_ms": 50})).json()["results"]
        assert [one["status"] for one in late] == ["pending", "pending"]
        llm.released.set()


async def test_precomputing_without_an_llm_is_refused_with_the_remedy(service: Service, artefact: Path) -> None:
    async with service() as client:
        answer = await client.post("/v1/expansions:precompute", json={"interests": ["one"]})
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/llm-not-configured")
    assert "EXPANDER_LLM_URL" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "headers", "field"),
    [
        ({"mode": "later"}, {}, "mode"),
        ({"locale": "x" * 40}, {}, "locale"),
        ({"history": [{"title": "T", "stars": 6}]}, {}, "history.0.stars"),
        ({"user_id": "a b"}, {}, "user_id"),
        ({}, {"x-deadline-ms": "soon"}, "x-deadline-ms"),
        ({}, {"x-warmstart-caller": "x" * 200}, "x-warmstart-caller"),
    ],
)
async def test_bad_input_is_refused_with_its_place(
    service: Service, artefact: Path, body: dict[str, Any], headers: dict[str, str], field: str
) -> None:
    async with service() as client:
        answer = await client.post("/v1/expand", json={"interests": ["space"], **body}, headers=headers)
    assert answer.status_code == 422
    assert answer.json()["violations"][0]["field"] == field
