"""Many callers and little LLM, over real processes: one call for one interest, a queue with a bound, and an answer for everybody.

How soon that is, only the benchmark tells.
"""

import json
from pathlib import Path

import pytest
from tests.bench.expander_calls import CALLERS, flown, repeated
from tests.bench.expander_overhead import chat_request
from tests.bench.expander_overload import pressed, recovery_s
from tests.bench.expander_server import Expander, Llm, interests
from tests.bench.retriever_load import Answer
from tests.redis_server import Server


def test_a_hundred_callers_of_a_new_interest_cost_one_call(tmp_path: Path) -> None:
    told = flown(tmp_path, 1, 3)
    assert told["calls"] == {1: 3}
    assert told["answered_by_llm"] == {CALLERS: 3}


def test_callers_of_two_expanders_on_one_redis_cost_one_call(tmp_path: Path, redis_server: Server) -> None:
    told = flown(tmp_path, 2, 3, cache_url=redis_server.url)
    assert told["calls"] == {1: 3}
    assert told["answered_by_llm"] == {CALLERS: 3}


@pytest.mark.parametrize("mode", ["wait", "async"])
def test_each_interest_that_was_not_made_ahead_is_asked_for_once_however_it_is_spelt(tmp_path: Path, mode: str) -> None:
    told = repeated(tmp_path, mode, head=500, count=300)
    assert told["calls"] == told["beyond_head"] > 10
    assert told["unsent"] == 0


@pytest.mark.parametrize("mode", ["wait", "async"])
def test_more_interests_than_the_llm_can_take_are_answered_and_counted_and_wait_in_a_queue_with_a_bound(tmp_path: Path, mode: str) -> None:
    told = pressed(tmp_path, mode, (2.5, 0.5))
    assert (told["other_statuses"], told["without_topics"]) == ([], 0)
    assert sum(told["substitutes_counted"].values()) == told["substitutes"] > 0
    assert 0 < told["queue"]["most"] <= told["queue"]["may"]
    assert told["at_llm"]["most"] == told["at_llm"]["may"]


def test_what_the_benchmark_asks_the_llm_directly_is_what_the_expander_asks_it(tmp_path: Path) -> None:
    [interest] = interests(1, "same")
    with Llm() as llm, Expander(tmp_path, llm.url) as expander:
        expander.call("POST", "/v1/expand", {"interests": [interest]})
        formatted = expander.call("GET", "/v1/backend")["structured_output"]["sent"]
        sent = llm.stats()["last"]
    assert json.loads(sent) == json.loads(chat_request(interest, "fake", formatted).split(b"\r\n\r\n", 1)[1])


def answers(*by_llm: bool) -> list[Answer]:
    """One that is due every tenth of a second."""
    bodies = [json.dumps({"expansions": [{"source": "llm" if each else "cooccurrence"}]}).encode() for each in by_llm]
    return [Answer(at, 200, 0.5, 0.5 + at / 10, b"", body) for at, body in enumerate(bodies)]


def test_recovery_is_when_nearly_all_of_the_rest_come_from_the_llm() -> None:
    assert recovery_s(answers(*[False] * 30, *[True] * 50), 1.0) == pytest.approx(2.0)
    assert recovery_s(answers(*[True] * 80), 1.0) == pytest.approx(0.0)
    assert recovery_s(answers(*[False, True] * 40), 1.0) is None
    assert recovery_s(answers(*[True] * 60, *[False] * 10), 1.0) is None
