"""What is accepted from an LLM."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes.llm import GOOD

from expander import parsing
from expander.errors import LlmInvalid

ANSWER = json.dumps({"topics": GOOD})


def body(content: object, finish_reason: str = "stop") -> bytes:
    return json.dumps({"choices": [{"message": {"content": content}, "finish_reason": finish_reason}]}).encode()


@pytest.mark.parametrize(
    "text",
    [
        ANSWER,
        f"```json\n{ANSWER}\n```",
        f"Sure! Here are [some] topics {{as asked}}:\n{ANSWER}\nHope that helps :}}",
        json.dumps(GOOD),
        f'<think>Maybe {{"topics": ["wrong one", "wrong two", "wrong three"]}}?</think>{ANSWER}',
        json.dumps({"related": GOOD}),
        json.dumps({"topics": ["", *GOOD, "SPACE opera", GOOD[0].upper(), 7, None]}),
    ],
)
def test_good_topics_are_found_in_any_wrapping(text: str) -> None:
    assert parsing.topics_of(text, "space opera", 5) == GOOD


@pytest.mark.parametrize(
    "topics",
    [
        [],
        ["one thing", "one thing", "One  Thing", "one things"],
        ["space opera", "Space Operas", "court intrigue", "first contact"],
        ["", " ", "court intrigue", "first contact"],
        [1, 2.5, None, {"topic": "x"}, ["court intrigue"]],
        ["Error: timeout", "<ERROR: skipped>", "I cannot help with that", "Sorry, no", "As an AI language model", "N/A", "null"],
        ["court intrigue", "first contact", "x" * 61],
        ["topic 1", "Topic 2", "topic 3", "first topic", "second topic"],
        ["...", "123", "\u2014", "court intrigue"],
        ["court\u202eintrigue", "first\x00contact", "dynastic sagas"],
        ["http://example.org", "{interest}", "`code`", "dynastic sagas"],
    ],
)
def test_an_answer_without_three_real_topics_is_invalid(topics: list[object]) -> None:
    with pytest.raises(LlmInvalid, match="acceptable topics"):
        parsing.topics_of(json.dumps({"topics": topics}), "space opera", 5)


@pytest.mark.parametrize(
    "topic", ["Christian apologetics", "failure and resilience", "exceptional women", "unknown worlds", "errors of history"]
)
def test_a_topic_that_only_looks_like_an_error_is_kept(topic: str) -> None:
    assert parsing.topics_of(json.dumps([topic, *GOOD[:2]]), "x", 5)[0] == topic


def test_no_more_topics_than_asked_for_are_taken() -> None:
    assert parsing.topics_of(json.dumps([*GOOD, "a sixth one"]), "x", 5) == GOOD
    assert parsing.topics_of(json.dumps(GOOD), "x", 2) == GOOD[:2]


@pytest.mark.parametrize("text", ["", "no json at all", '{"topics": ["court intrigue", "first con', "[" * 100_000, '{"a":' * 5_000])
def test_text_without_whole_json_is_invalid(text: str) -> None:
    with pytest.raises(LlmInvalid):
        parsing.topics_of(text, "x", 5)


def test_a_cut_answer_is_invalid_even_when_its_json_is_whole() -> None:
    with pytest.raises(LlmInvalid, match="cut off"):
        parsing.content_of(body(ANSWER, "length"))


@pytest.mark.parametrize(
    "raw", [b"", b"<html>busy</html>", b"[]", b"{}", b'{"choices": []}', b'{"choices": [7]}', b"\xff\xfe", body(None), body(["a list"])]
)
def test_what_is_not_a_chat_completion_is_invalid(raw: bytes) -> None:
    with pytest.raises(LlmInvalid):
        parsing.content_of(raw)


@given(st.text(max_size=200), st.lists(st.text(max_size=80), max_size=8))
def test_whatever_comes_is_either_refused_or_three_to_five_distinct_lines(prose: str, topics: list[str]) -> None:
    try:
        accepted = parsing.topics_of(prose + json.dumps(topics), "an interest", 5)
    except LlmInvalid:
        return
    assert 3 <= len({topic.casefold() for topic in accepted}) == len(accepted) <= 5
    assert all(topic.isprintable() and 2 <= len(topic) <= 60 for topic in accepted)
