from typing import Any

import httpx2
import pytest

from tests.unit.gateway.conftest import House, ids, stages


async def test_a_stated_interest_is_rung_1_and_says_what_it_matches(house: House) -> None:
    answer = await house.recommend(interests=["space politics"], k=3)
    assert answer["rung"] == 1
    assert ids(answer)[0] == "dune"
    assert answer["degraded"] == []
    reason = answer["items"][0]["reasons"][0]
    assert reason["source"] == "content"
    assert reason["text"] == f'Matches "{reason["topic"]}"'
    assert [topic["text"] for topic in answer["topics"]] == ["space politics past", "space politics future"]
    assert {topic["source"] for topic in answer["topics"]} == {"llm"}
