"""The expander's HTTP interface."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.fakes import llm as fake
from tests.fakes.llm import FakeLlm
from tests.unit.expander.conftest import Service, write_artefact
from tests.unit.expander.test_expansion import expand

from expander.artefact import POLL_S


async def test_without_an_llm_the_catalogue_answers_and_nothing_is_degraded(service: Service, artefact: Path) -> None:
    async with service() as client:
        answer = await expand(client, "vampires", "asdfgh")
        backend = (await client.get("/v1/backend")).json()
    vampires, nonsense = answer["expansions"]
    assert not answer["degraded"]
    assert (vampires["source"], vampires["topics"]) == ("cooccurrence", ["paranormal romance"])
    assert (nonsense["source"], nonsense["topics"], nonsense["fallback_reason"]) == ("none", [], None)
    assert backend == {
        "backend": "cooccurrence",
        "model": vampires["model"],
        "fallback": vampires["model"],
        "profile": None,
        "prompt_version": None,
        "enrichment_version": None,
        "structured_output": None,
    }
    assert len(vampires["model"]) == 12


async def test_without_an_artefact_there_are_no_topics_and_the_reason_is_told(service: Service, tmp_path: Path) -> None:
    async with service() as client:
        answer = await expand(client, "vampires")
    expansion = answer["expansions"][0]
    assert (expansion["source"], expansion["topics"]) == ("none", [])
    assert "topics.json" in expansion["fallback_reason"]
    assert answer["degraded"]


async def test_the_llm_is_named_with_its_stand_in(service: Service, artefact: Path, llm: FakeLlm) -> None:
    async with service(llm_url=llm.url) as client:
        backend = (await client.get("/v1/backend")).json()
    assert (backend["backend"], backend["model"]) == ("llm", "fake")
    assert backend["fallback"]


@pytest.mark.parametrize("most", [1, 2, 3, 5])
async def test_no_more_topics_than_asked_for(service: Service, artefact: Path, llm: FakeLlm, most: int) -> None:
    async with service(llm_url=llm.url) as client:
        answer = await expand(client, max_topics=most)
    assert len(answer["expansions"][0]["topics"]) == most


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"interests": []}, "(the whole)"),
        ({}, "(the whole)"),
        ({"interests": ["x"] * 11}, "interests"),
        ({"interests": [" "]}, "interests.0"),
        ({"interests": ["x" * 501]}, "interests.0"),
        ({"interests": ["x\u0000"]}, "interests.0"),
        ({"interests": ["x"], "max_topics": 6}, "max_topics"),
        ({"interests": ["x"], "deadline_ms": 0}, "deadline_ms"),
        ({"interests": ["x"], "intrests": []}, "intrests"),
    ],
)
async def test_bad_input_is_refused_with_its_place(service: Service, artefact: Path, body: dict[str, Any], field: str) -> None:
    async with service() as client:
        answer = await client.post("/v1/expand", json=body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["violations"][0]["field"] == field


async def test_the_longest_interests_allowed_are_answered(service: Service, artefact: Path) -> None:
    async with service() as client:
        answer = await expand(client, *["space mystery " * 35] * 10)
    assert len(answer["expansions"]) == 10


async def test_ready_when_the_artefact_is_there_though_the_llm_is_down(service: Service, artefact: Path) -> None:
    async with service(llm_url="http://127.0.0.1:9/v1") as client:
        assert (await client.get("/readyz")).status_code == 200


async def test_ready_when_only_the_llm_is_there(service: Service, llm: FakeLlm) -> None:
    async with service(llm_url=llm.url) as client:
        assert (await client.get("/readyz")).status_code == 200


@pytest.mark.parametrize("llm_url", ["", "http://127.0.0.1:9/v1"])
async def test_not_ready_with_a_broken_artefact_and_no_llm(service: Service, artefact: Path, llm_url: str) -> None:
    artefact.write_text("{")
    async with service(llm_url=llm_url) as client:
        assert (await client.get("/readyz")).status_code == 503


async def test_ready_with_a_broken_artefact_while_the_llm_answers(service: Service, artefact: Path, llm: FakeLlm) -> None:
    artefact.write_text("{")
    async with service(llm_url=llm.url) as client:
        assert (await client.get("/readyz")).status_code == 200


@pytest.mark.parametrize("llm_url", ["", "http://127.0.0.1:9/v1"])
async def test_ready_before_the_first_import_whatever_the_llm_does(service: Service, llm_url: str) -> None:
    async with service(llm_url=llm_url) as client:
        assert (await client.get("/readyz")).status_code == 200


async def test_an_artefact_made_while_running_is_used(service: Service, tmp_path: Path) -> None:
    async with service() as client:
        assert (await expand(client, "vampires"))["degraded"]
        write_artefact(tmp_path / "topics.json")
        await asyncio.sleep(POLL_S + 0.05)
        assert (await expand(client, "vampires"))["expansions"][0]["topics"] == ["paranormal romance"]


async def test_the_metrics_tell_who_answered_and_why(service: Service, artefact: Path, llm: FakeLlm) -> None:
    llm.plays(fake.lists(*fake.GOOD), fake.says(""))
    async with service(llm_url=llm.url) as client:
        await expand(client, "one")
        await expand(client, "one")
        await expand(client, "vampires")
        text = (await client.get("/metrics")).text
    for line in (
        'expander_expansions_total{outcome="proposed",source="llm"} 1.0',
        'expander_expansions_total{outcome="cached",source="llm"} 1.0',
        'expander_expansions_total{outcome="invalid",source="cooccurrence"} 1.0',
        'expander_cache_lookups_total{found="fresh",tier="memory"} 1.0',
        'expander_llm_calls_total{outcome="answered"} 4.0',  # with the canary
        'expander_llm_readings_total{cause="empty"} 2.0',
        "expander_invalid_answers_total 2.0",
        "expander_llm_seconds_count 4.0",
        "expander_llm_permits_in_use 0.0",
    ):
        assert line in text


@pytest.mark.parametrize(("profile", "connections"), [("trn1-sdk2.28", 3), ("external", 1)])
async def test_each_call_may_reach_another_pod_of_our_own_vllm(
    service: Service, artefact: Path, llm: FakeLlm, profile: str, connections: int
) -> None:
    async with service(llm_url=llm.url, llm_profile=profile) as client:
        for interest in ("space", "vampires", "murder"):
            await expand(client, interest)
    assert len(llm.callers) == 3
    assert len(set(llm.callers)) == connections
