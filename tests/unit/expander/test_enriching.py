"""Items are enriched by the LLM or told why not; whatever is done to it, nothing else comes of it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from aiohttp import web
from tests.fakes import llm as fake
from tests.fakes.llm import FakeLlm
from tests.unit.expander.conftest import Service
from tests.unit.expander.questions import Asking, asking

from contracts.expander import CALLER_HEADER, EnrichResponse
from expander.enriching import Enricher, Enrichment
from expander.errors import LlmNotConfigured
from expander.items import Described
from expander.metrics import ExpanderMetrics
from servicekit.deadline import Deadline

TAGS = ["small towns", "long journeys", "old letters"]


def title_of(body: dict[str, Any]) -> str:
    """The title in the data of a request."""
    content = body["messages"][1]["content"]
    return str(json.loads(content[content.index("{") : content.rindex("}") + 1])["title"])


async def describes(_: FakeLlm, body: dict[str, Any]) -> web.StreamResponse:
    """Good tags and a sentence, from which a test sees of which item they are."""
    return fake.completion(json.dumps({"tags": TAGS, "description": f"A plain account of what happens in {title_of(body)}."}))


def items(count: int) -> list[Described]:
    return [Described(f"b{number}", f"Book {number}") for number in range(count)]


@asynccontextmanager
async def enriching(llm: FakeLlm, **limits: Any) -> AsyncIterator[tuple[Enricher, Asking]]:
    async with asking(llm, **limits) as asked:
        yield Enricher(asked.llm, asked.metrics), asked


def soon(seconds: float = 5.0) -> Deadline:
    return Deadline.after_ms(1_000 * seconds)


async def test_every_item_gets_its_own_enrichment_in_order(llm: FakeLlm) -> None:
    llm.plays(describes)
    async with enriching(llm) as (enricher, asked):
        results = await enricher.enrich(items(20), soon())
    assert results == [
        Enrichment(f"b{number}", tuple(TAGS), f"A plain account of what happens in Book {number}.", "fake", "enrich-1")
        for number in range(20)
    ]
    assert asked.count("expander_enrichments_total", outcome="made") == 20


async def test_a_batch_never_fills_the_queue_that_users_wait_in(llm: FakeLlm) -> None:
    llm.plays(fake.after(0.01, describes))
    async with enriching(llm, concurrency=5, queue=0) as (enricher, asked):
        results = await enricher.enrich(items(30), soon())
        assert llm.most_in_flight == 3
        assert asked.count("expander_llm_unsent_total", reason="busy") == 0
    assert all(one.reason is None for one in results)


async def test_an_unusable_answer_costs_that_item_only_and_is_no_reason_to_ask_again(llm: FakeLlm) -> None:
    async def refuses_one(server: FakeLlm, body: dict[str, Any]) -> web.StreamResponse:
        return fake.completion("I'm sorry.") if title_of(body) == "Book 1" else await describes(server, body)

    llm.plays(refuses_one)
    async with enriching(llm) as (enricher, asked):
        first, second, third = await enricher.enrich(items(3), soon())
    assert first.tags == third.tags == tuple(TAGS)
    assert (second.tags, second.description, second.model, second.retry) == ((), None, None, False)
    assert second.reason is not None
    assert "the answer refuses" in second.reason
    assert asked.count("expander_enrichments_total", outcome="invalid") == 1


@pytest.mark.parametrize(
    ("step", "retry"),
    [
        (fake.fails(503), True),
        (fake.fails(500), True),
        (fake.fails(429), True),
        (fake.fails(401), True),
        (fake.fails(404), True),
        (fake.fails(400), False),
        (fake.fails(413), False),
        (fake.hangs_up, True),
        (fake.stalls, True),
        (fake.sends(b"<html>busy</html>"), False),
    ],
)
async def test_what_the_server_can_not_do_now_is_told_apart_from_what_it_never_will(llm: FakeLlm, step: fake.Step, retry: bool) -> None:
    llm.plays(step)
    async with enriching(llm) as (enricher, _):
        (result,) = await enricher.enrich(items(1), soon(0.4))
    assert (result.tags, result.description) == ((), None)
    assert result.reason
    assert result.retry is retry


async def test_when_the_time_is_over_the_rest_is_told_to_be_asked_again(llm: FakeLlm) -> None:
    llm.plays(fake.after(0.2, describes))
    async with enriching(llm, concurrency=1) as (enricher, _):
        started = asyncio.get_running_loop().time()
        results = await enricher.enrich(items(20), soon(0.5))
        assert asyncio.get_running_loop().time() - started < 2
    assert results[0].reason is None
    assert all(one.retry and one.reason for one in results[3:])


async def test_without_an_llm_it_says_what_to_set() -> None:
    with pytest.raises(LlmNotConfigured, match="EXPANDER_LLM_URL"):
        await Enricher(None, ExpanderMetrics()).enrich(items(1), soon())


BODY = {
    "items": [{"id": "b0", "title": "Book 0", "text": "t", "attributes": {"authors": ["A"], "genres": "g"}}, {"id": "b1", "title": "B"}]
}


async def test_the_answer_is_what_the_contract_says_and_the_caller_pays(service: Service, llm: FakeLlm) -> None:
    llm.plays(describes)
    async with service(llm_url=llm.url) as client:
        answer = await client.post("/v1/enrich", json=BODY, headers={CALLER_HEADER: "nightly"})
        backend = (await client.get("/v1/backend")).json()
    assert answer.status_code == 200
    read = EnrichResponse.model_validate_json(answer.content)
    assert [one.id for one in read.enrichments] == ["b0", "b1"]
    assert read.enrichments[0].model_dump() == {
        "id": "b0",
        "tags": tuple(TAGS),
        "description": "A plain account of what happens in Book 0.",
        "model": "fake",
        "prompt_version": "enrich-1",
        "reason": None,
        "retry": False,
    }
    assert backend["enrichment_version"] == "enrich-1"
    assert {request["response_format"]["json_schema"]["name"] for request in llm.requests} == {"enrichment"}


async def test_a_dead_llm_is_told_per_item_so_that_a_job_can_wait(service: Service, llm: FakeLlm) -> None:
    llm.plays(fake.fails(503))
    async with service(llm_url=llm.url) as client:
        answer = await client.post("/v1/enrich", json=BODY)
    assert answer.status_code == 200
    assert [(one["id"], one["tags"], one["retry"]) for one in answer.json()["enrichments"]] == [("b0", [], True), ("b1", [], True)]


async def test_without_an_llm_the_problem_names_the_setting(service: Service) -> None:
    async with service() as client:
        answer = await client.post("/v1/enrich", json=BODY)
    assert answer.status_code == 503
    assert answer.json()["type"] == "/problems/llm-not-configured"
    assert "EXPANDER_LLM_URL" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"items": []}, "items"),
        ({"items": [{"id": "a", "title": "T"}] * 101}, "items"),
        ({"items": [{"id": "a"}]}, "items.0.title"),
        ({"items": [{"id": "a", "title": "T", "text": "x" * 20_001}]}, "items.0.text"),
        ({"items": [{"id": "a", "title": "T", "attributes": {"year": 1965}}]}, "items.0.attributes.year"),
        ({"items": [{"id": "a", "title": "T"}], "deadline_ms": 0}, "deadline_ms"),
    ],
)
async def test_a_wrong_body_is_refused_with_its_field(service: Service, llm: FakeLlm, body: dict[str, Any], field: str) -> None:
    async with service(llm_url=llm.url) as client:
        answer: httpx2.Response = await client.post("/v1/enrich", json=body)
    assert answer.status_code == 422
    assert answer.json()["violations"][0]["field"].startswith(field)
