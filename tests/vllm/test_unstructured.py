"""Topics from a vLLM that is not told the schema: what can be read is mended, what can not is asked for again or replaced."""

from tests.vllm.artefact import STAND_IN
from tests.vllm.asking import assert_topics, canary_answered, counted, expand
from tests.vllm.conftest import Expander

IGNORES_SCHEMAS = {"llm_profile": "trn1-sdk2.28"}
"""Of this profile it is known that a schema is accepted and ignored, so none is sent."""
UNUSABLE = ("empty", "cut", "not_json", "too_few", "refusal", "not_completion")


async def test_babble_is_mended_or_replaced_and_counted_by_cause(expander: Expander) -> None:
    async with expander(**IGNORES_SCHEMAS, llm_limits={"retry_share": 0.0}) as client:
        expansions = [
            each for turn in range(4) for each in await expand(client, *(f"a mystery, number {turn * 10 + at}" for at in range(10)))
        ]
        causes = {cause: await counted(client, "expander_llm_readings_total", cause=cause) for cause in ("repaired", "accepted", *UNUSABLE)}
        fallen = await counted(client, "expander_expansions_total", source="cooccurrence", outcome="invalid")
    mended = [expansion for expansion in expansions if expansion["source"] == "llm"]
    replaced = [expansion for expansion in expansions if expansion["source"] != "llm"]
    for expansion in mended:
        assert_topics(expansion)
    for expansion in replaced:
        assert expansion["source"] == "cooccurrence"
        assert set(expansion["topics"]) == set(STAND_IN)
        assert "nothing acceptable" in expansion["fallback_reason"]
    assert (causes["repaired"] + causes["accepted"], sum(causes[cause] for cause in UNUSABLE)) == (len(mended), len(replaced))
    assert causes["accepted"] == 0, "nothing but a grammar makes it write the form that was asked for"
    assert mended, causes
    assert replaced, causes
    assert fallen == len(replaced)


async def test_an_unusable_answer_is_asked_for_once_more_and_no_oftener(expander: Expander) -> None:
    async with expander(**IGNORES_SCHEMAS, llm_limits={"retry_share": 1.0}) as client:
        await expand(client, *(f"once more {place}" for place in range(10)))
        calls = await counted(client, "expander_llm_readings_total")
        again = {outcome: await counted(client, "expander_llm_retries_total", outcome=outcome) for outcome in ("accepted", "failed")}
        first_usable = 10 - sum(again.values())
        fallen = await counted(client, "expander_expansions_total", outcome="invalid")
    assert calls == 10 + sum(again.values())
    assert sum(again.values()) > 0
    assert fallen == again["failed"] == 10 - first_usable - again["accepted"]


async def test_what_the_llm_can_not_say_is_not_asked_again_at_once(expander: Expander) -> None:
    async with expander(**IGNORES_SCHEMAS, llm_limits={"retry_share": 0.0}) as client:
        interests = [f"unsayable {place}" for place in range(10)]
        first = await expand(client, *interests)
        asked = await counted(client, "expander_llm_readings_total")
        second = await expand(client, *interests)
        assert await counted(client, "expander_llm_readings_total") == asked
    for before, after in zip(first, second, strict=True):
        assert (before["topics"], before["source"]) == (after["topics"], after["source"])
        assert after["cached"] == (after["source"] == "llm")


async def test_the_canary_sees_that_this_server_would_obey(expander: Expander) -> None:
    async with expander(**IGNORES_SCHEMAS) as client:
        await canary_answered(client)
        told = (await client.get("/v1/backend")).json()["structured_output"]
    assert told == {"found": "honoured", "profile": "ignored", "sent": False}
