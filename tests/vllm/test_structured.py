"""Topics from a vLLM that obeys the schema: always valid, whoever asks how many at once."""

import asyncio

from tests.bench.vllm_server import Server
from tests.fixtures.llm.tiny_llama import WORDS
from tests.vllm.asking import assert_topics, canary_answered, counted, expand
from tests.vllm.conftest import Expander

RETRIES = {"llm_limits": {"retry_share": 1.0}}
"""Chance may repeat a word so often that too few topics differ, once in some hundred answers; it is asked again then."""


async def test_the_canary_finds_the_schema_honoured_as_the_profile_says(expander: Expander) -> None:
    async with expander() as client:
        await canary_answered(client)
        told = (await client.get("/v1/backend")).json()
    assert told["structured_output"] == {"found": "honoured", "profile": "supported", "sent": True}
    assert (told["backend"], told["model"], told["profile"]) == ("llm", "tiny", "cpu")


async def test_with_a_schema_every_answer_has_three_to_five_valid_topics(expander: Expander) -> None:
    async with expander(**RETRIES) as client:
        for turn in range(4):
            for expansion in await expand(client, *(f"books like number {turn * 10 + place}" for place in range(10))):
                assert_topics(expansion)
        readings = {cause: await counted(client, "expander_llm_readings_total", cause=cause) for cause in ("accepted", "repaired")}
        answered = await counted(client, "expander_llm_calls_total", outcome="answered")
        invalid = await counted(client, "expander_invalid_answers_total")
    assert sum(readings.values()) == 40
    assert readings["accepted"] > 20, "under the grammar most answers need no mending"
    assert 40 + invalid <= answered <= 41 + invalid  # and the canary


async def test_topics_are_grounded_where_the_catalogue_has_a_word_for_them(expander: Expander) -> None:
    async with expander(**RETRIES) as client:
        expansions = await expand(client, *(f"something about {place}" for place in range(10)))
        off = await counted(client, "expander_topics_total", grounding="off_catalogue")
        subjects = await counted(client, "expander_topics_total", grounding="subject")
    grounded = [each for expansion in expansions for each in expansion["grounding"]]
    single = [each for each in grounded if each["topic"] in WORDS]
    assert single, "ten answers hold a topic of one word"
    assert all((each["label"], each["kind"]) == (each["topic"], "subject") for each in single)
    assert off + subjects == len(grounded)


async def test_sixteen_at_once_are_all_answered_by_the_llm(expander: Expander, vllm: Server) -> None:
    async with expander(**RETRIES) as client:
        answers = await asyncio.gather(*(expand(client, f"one of sixteen {place}") for place in range(16)))
        waited = await counted(client, "expander_llm_queue_wait_seconds_count", lane="live")
        unsent = await counted(client, "expander_llm_unsent_total")
    for [expansion] in answers:
        assert_topics(expansion)
    assert (waited, unsent) == (16, 0)
    assert vllm.value("vllm:num_requests_waiting") == 0


async def test_a_hundred_callers_of_one_new_interest_cost_one_call(expander: Expander) -> None:
    async with expander(**RETRIES) as client:
        await canary_answered(client)
        before = await counted(client, "expander_llm_calls_total")
        answers = await asyncio.gather(*(expand(client, "an interest of a hundred") for _ in range(100)))
        invalid = await counted(client, "expander_invalid_answers_total")
        assert await counted(client, "expander_llm_calls_total") == before + 1 + invalid
    for [expansion] in answers:
        assert_topics(expansion)
    assert len({tuple(expansion["topics"]) for [expansion] in answers}) == 1


async def test_the_stable_system_text_is_read_from_the_prefix_cache(expander: Expander, vllm: Server) -> None:
    async with expander(**RETRIES) as client:
        await expand(client, "the first to be told the rules")
        hits, asked = (vllm.value(f"vllm:prefix_cache_{name}_total") for name in ("hits", "queries"))
        await expand(client, *(f"told the rules again {place}" for place in range(10)))
    hits, asked = (
        vllm.value("vllm:prefix_cache_hits_total") - hits,
        vllm.value("vllm:prefix_cache_queries_total") - asked,
    )
    assert hits / asked > 0.7, f"{hits:.0f} of {asked:.0f} tokens"
