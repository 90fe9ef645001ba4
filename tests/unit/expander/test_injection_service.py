"""The injections over HTTP, before an LLM that obeys whoever wrote them: topics, the fallback or a refused request; never a payload."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.fakes import llm as fake
from tests.fakes.llm import FakeLlm
from tests.unit.expander.conftest import Service
from tests.unit.expander.test_injection import ATTEMPTS, OBEDIENT, Attempt, violations

REFUSED = 422
"""Of texts that are too long for a request, or that UTF-8 can not hold."""


def body(attempt: Attempt) -> dict[str, Any]:
    asked = attempt.asked
    history = [{"title": one.title, "stars": one.stars, "review": one.review} for one in asked.history]
    return {"interests": [asked.interest] if asked.interest else [], "history": history, "locale": asked.locale, "deadline_ms": 10_000}


@pytest.mark.parametrize("behaviour", OBEDIENT)
async def test_whoever_speaks_to_the_machine_gets_topics_or_the_fallback(
    service: Service, artefact: Path, llm: FakeLlm, behaviour: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("expander.cache.NEGATIVE_TTL_S", 0.0)
    answered = 0
    async with service(llm_url=llm.url, llm_limits={"retry_share": 1.0}) as client:
        for attempt in ATTEMPTS:
            llm.plays(fake.says(OBEDIENT[behaviour](attempt)))
            answer = await client.post("/v1/expand", content=json.dumps(body(attempt)), headers={"content-type": "application/json"})
            if answer.status_code == REFUSED:
                continue
            assert answer.status_code == 200, answer.text
            (expansion,) = answer.json()["expansions"]
            answered += 1
            if expansion["source"] == "llm":
                assert 3 <= len(expansion["topics"]) <= 5
                assert list(violations(attempt, tuple(expansion["topics"]))) == [], (attempt.category, expansion["topics"])
            else:
                assert expansion["fallback_reason"]
    assert answered >= 60
