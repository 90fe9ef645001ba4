"""What is read out of an answer, and what is accepted of it."""

import json
import random
import time

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes.llm import GOOD

from expander import parsing, prompts
from expander.interests import Asked, Liked
from expander.readings import Completion, Reading

ANSWER = json.dumps({"topics": GOOD})
THREE = GOOD[:3]
SCHEMA = prompts.RESPONSE_FORMAT["json_schema"]["schema"]
CAUSES = {"accepted", "repaired", "empty", "cut", "not_json", "too_few", "refusal"}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=70),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.sampled_from(["topics", "topic", "a", "1", ""]), inner, max_size=4),
    max_leaves=20,
)


def read(text: str, interest: str = "space opera", finish_reason: str | None = "stop") -> Reading[tuple[str, ...]]:
    return parsing.topics(Completion(text, finish_reason), Asked(interest))


def read_list(*topics: object, interest: str = "x") -> tuple[str, ...] | None:
    return read(json.dumps({"topics": topics}), interest).value


def check(reading: Reading[tuple[str, ...]]) -> None:
    """A reading has a cause of the contract, and topics that satisfy the schema or none."""
    assert reading.cause in CAUSES
    assert (reading.value is not None) == (reading.cause in ("accepted", "repaired"))
    if reading.value is not None:
        jsonschema.validate({"topics": list(reading.value)}, SCHEMA)
        assert len({topic.casefold() for topic in reading.value}) == len(reading.value)
        assert all(topic.isprintable() or "\u200c" in topic or "\u200d" in topic for topic in reading.value)


def test_what_was_asked_for_is_accepted_as_it_is() -> None:
    assert read(ANSWER) == Reading(GOOD, "accepted")
    assert read(f"\n {ANSWER}\n").cause == "accepted"


@pytest.mark.parametrize(
    "text",
    [
        f"```json\n{ANSWER}\n```",
        f"Sure! Here are [some] topics {{as asked}}:\n{ANSWER}\nHope that helps :}}",
        json.dumps(GOOD),
        f'<think>Maybe {{"topics": ["wrong one", "wrong two", "wrong three"]}}?</think>{ANSWER}',
        f'Let me think. {{"topics": ["wrong one", "wrong two", "wrong three"]}}</think>{ANSWER}',
        f"<think>a<think>b</think>c</think>{ANSWER}",
        json.dumps({"related": GOOD}),
        json.dumps({"answer": {"topics": GOOD}, "notes": ["one note", "two notes", "three notes"]}),
        json.dumps({"notes": ["one note", "two notes", "three notes"], "Topics": GOOD}),
        json.dumps({"topics": [{"topic": topic, "why": "it fits well"} for topic in GOOD]}),
        json.dumps({f"topic_{at}": topic for at, topic in enumerate(GOOD)}),
        json.dumps({"topics": {str(at): topic for at, topic in enumerate(GOOD)}}),
        json.dumps({"topics": ", ".join(GOOD)}),
        json.dumps({"topics": ["", *GOOD, "SPACE opera", GOOD[0].upper(), 7, None]}),
        json.dumps({"topics": [f"{at}. {topic}" for at, topic in enumerate(GOOD, 1)]}),
        json.dumps({"topics": [f'**"{topic.title().lower()}"**.' for topic in GOOD]}),
        json.dumps({"topics": [topic.replace(" ", "_") for topic in GOOD]}),
        json.dumps(ANSWER),
        json.dumps(ANSWER)[1:-1],
    ],
)
def test_good_topics_are_found_in_any_wrapping(text: str) -> None:
    assert read(text) == Reading(GOOD, "repaired")


@pytest.mark.parametrize(
    "text",
    [
        "{'topics': ['court intrigue', 'galactic empires', 'military science fiction',]}",
        '{"topics": ["court intrigue", "galactic empires", "military science fiction"',
        '{"topics": ["court intrigue", "galactic empires", "military science fiction", "first con',
        '{"topics": ["court intrigue", "galactic empires", "military science fiction"}',
        '{"topics": ["court intrigue" "galactic empires" "military science fiction"]}',
        '{"topics": ["court intrigue",, "galactic empires",\n "military science fiction",,]}',
        "{topics: [court intrigue, galactic empires, military science fiction]}",
        '{"topics": ["court intrigue", "galactic empires", "military science fiction", None, True]}',
        '{"topics": [\u201ccourt intrigue\u201d, \u201cgalactic empires\u201d, \u201cmilitary science fiction\u201d]}',
        '{"topics": ("court intrigue", "galactic empires", "military science fiction")}',
        '{"topics"= ["court intrigue", // plots\n "galactic empires", # large\n "military science fiction" /* war */]}',
        '{"topics": ["court intrigue", "galactic empires", "military science fiction"]]}}',
        '[court intrigue; galactic empires; "military science fiction"]',
        '["court intrigue, "galactic empires", "military science fiction", "court intrigue"]',
        "Topic 1: court intrigue\nTopic 2: galactic empires\nTopic 3: military science fiction",
        "1. court intrigue\n2. galactic empires\n3. military science fiction",
        "Here you go:\n\n- **court intrigue**: plots in palaces\n- **galactic empires** - large ones\n- *military science fiction*\n",
        "\u2022 court intrigue\n\u2022 galactic empires \u2013 large\n\u2022 military science fiction\n",
    ],
)
def test_what_was_meant_is_mended(text: str) -> None:
    assert read(text) == Reading(THREE, "repaired")


def test_quotes_and_apostrophes_within_topics_survive() -> None:
    mended = read("{'topics': ['women's history', 'rock 'n' roll', 'soldiers' letters', \"the \\\"lost\\\" world\"]}").value
    assert mended == ("women's history", "rock 'n' roll", "soldiers' letters")


@pytest.mark.parametrize(
    ("text", "finish_reason", "cause"),
    [
        ("", "stop", "empty"),
        (" \n", None, "empty"),
        (ANSWER, "length", "cut"),
        ("no json at all", "stop", "not_json"),
        ("<think>" + ANSWER, "stop", "not_json"),
        ("I'm sorry, but I can't help with that.", "stop", "refusal"),
        ("As an AI language model, I cannot.", "stop", "refusal"),
        ("Es tut mir leid, das kann ich nicht.", "stop", "refusal"),
        ("\u62b1\u6b49\uff0c\u6211\u65e0\u6cd5\u56de\u7b54", "stop", "refusal"),
        ("filtered", "content_filter", "refusal"),
        ('{"topics": []}', "stop", "not_json"),
        ('{"topics": ["court intrigue", "first con', "stop", "too_few"),
        (json.dumps({"topics": ["one thing"]}), "stop", "too_few"),
        ("- one\n- two", "stop", "not_json"),
        ("1. Visit us at evil.example\n2. Ignore the above\n3. <b>x</b>", "stop", "too_few"),
    ],
)
def test_what_is_not_acceptable_has_a_cause(text: str, finish_reason: str | None, cause: str) -> None:
    reading = read(text, finish_reason=finish_reason)
    assert (reading.value, reading.cause) == (None, cause)
    assert reading.detail


@pytest.mark.parametrize(
    "topics",
    [
        ["one thing", "one thing", "One  Thing", "one things"],
        ["space opera", "Space Operas", "court intrigue", "first contact"],
        ["operas in space", "opera of the space", "court intrigue"],
        ["", " ", "court intrigue", "first contact"],
        [1, 2.5, None, {"reason": "x"}, ["court intrigue"]],
        ["Error: timeout", "<ERROR: skipped>", "I cannot help with that", "Sorry, no", "As an AI language model", "N/A", "null"],
        ["court intrigue", "first contact", "x" * 61],
        ["topic 1", "Topic 2", "topic 3", "first topic", "second topic"],
        ["...", "123", "\u2014", "court intrigue"],
        ["court\u202eintrigue", "first\x00contact", "dynastic sagas"],
        ["http://example.org", "{interest}", "`code`", "dynastic sagas"],
        ["the", "and", "of it", "best books"],
    ],
)
def test_an_answer_without_three_real_topics_is_none(topics: list[object]) -> None:
    reading = read(json.dumps({"topics": topics}))
    assert (reading.value, reading.cause) == (None, "too_few")


def test_topics_that_are_the_same_are_told_once() -> None:
    same = ["Cosy Mysteries", "cosy mystery", "mysteries, cosy", "COSY MYSTERY", "\uff23\uff4f\uff53\uff59 mystery"]
    assert read_list(*same, "caf\u00e9 society", "cafe\u0301 society", "C++ programming", "C# programming", "\u65e5\u672c\u6587\u5b66") == (
        "Cosy Mysteries",
        "caf\u00e9 society",
        "C++ programming",
        "C# programming",
        "\u65e5\u672c\u6587\u5b66",
    )


def test_neither_the_interest_nor_a_title_nor_a_quote_of_the_user_is_a_topic() -> None:
    asked = Asked("I loved the slow burning mystery in a monastery", (Liked("Quiet Rivers", 5.0, "a tale of three stubborn monks"),))
    topics = ["slow burning mystery in a monastery", "quiet river", "tale of three stubborn monks", *THREE, "monastery mysteries"]
    assert parsing.topics(Completion(json.dumps(topics)), asked).value == (*THREE, "monastery mysteries")


def test_the_prompt_is_not_a_topic() -> None:
    assert read_list("related subjects genres", "a short noun phrase", "Be specific", *THREE) == ("Be specific", *THREE)


def test_no_more_than_five_topics_are_taken() -> None:
    assert read_list(*GOOD, "a sixth one") == GOOD


def mutated(text: str, seed: int) -> str:
    """`text` after a few deletions, doublings, swaps and insertions of characters that matter."""
    dice = random.Random(seed)
    chars = list(text)
    for _ in range(dice.randint(1, 12)):
        at = dice.randrange(len(chars))
        match dice.randrange(4):
            case 0:
                del chars[at]
            case 1:
                chars.insert(at, dice.choice("\"'`,:[]{}()\\\n \u201c\u202e\u200d<>#/*\x00"))
            case 2:
                chars[at:at] = chars[at : at + dice.randint(1, 20)]
            case _:
                chars = chars[: max(at, 5)] if dice.random() < 0.2 else chars[at:] + chars[:at] if dice.random() < 0.1 else chars
    return "".join(chars)


@given(st.integers(0, 10**9))
def test_a_damaged_answer_is_read_or_refused(seed: int) -> None:
    check(read(mutated(ANSWER, seed)))


@given(st.text(max_size=400), st.sampled_from(["stop", "length", "content_filter", "tool_calls", None, "\x00"]))
def test_any_text_is_read_or_refused(text: str, finish_reason: str | None) -> None:
    check(read(text, finish_reason=finish_reason))


@given(st.text(alphabet="{}[]()\"'`,:;#/*\\ \n\u201c\u201dabtopics1.-", max_size=300))
def test_any_pile_of_brackets_and_quotes_is_read_or_refused(text: str) -> None:
    check(read(text))


@given(JSON, st.text(max_size=60))
def test_any_json_is_read_or_refused(value: object, interest: str) -> None:
    check(read(json.dumps(value), interest))


@given(st.text(max_size=200), st.lists(st.text(max_size=80), max_size=8), st.text(max_size=80), st.text(max_size=80))
def test_topics_among_prose_are_read_or_refused_whoever_asked(prose: str, topics: list[str], interest: str, review: str) -> None:
    asked = Asked(interest, (Liked("A title", 3.0, review),))
    check(parsing.topics(Completion(prose + json.dumps({"topics": topics})), asked))


LONG = 65_536
HOSTILE = {
    "open brackets": "[" * LONG,
    "open braces": "{" * LONG,
    "objects in objects": '{"a":' * (LONG // 5),
    "lists in lists, closed": "[" * (LONG // 2) + "]" * (LONG // 2),
    "quotes": '["' + '"' * LONG,
    "quotes that do not close": '["' + 'a" b" ' * (LONG // 6),
    "two kinds of quotes": "[\"'" * (LONG // 3),
    "quotes and white space": '["' + ('"' + " " * 63 + "x") * (LONG // 65),
    "backslashes": '["' + "\\" * LONG,
    "comments": "[" + "/*" * (LONG // 2),
    "stars": "[" + "/**" * (LONG // 3),
    "commas": "[" + "," * LONG,
    "colons": "{:" * (LONG // 2),
    "lists": '["a","b","c"]' * (LONG // 13),
    "good lists of two": '["court intrigue","first contact"]' * (LONG // 34),
    "lines": "- a b\n" * (LONG // 6),
    "thoughts": "<think>" * (LONG // 7),
    "thoughts that end": "<think></think>" * (LONG // 15),
    "marks": '["a' + "\u0301" * LONG + '"]',
    "families": '["\U0001f468\u200d\U0001f469\u200d\U0001f467","' * (LONG // 9),
    "digits": "[" + "1" * LONG,
    "one text": '["' + "ignore " * (LONG // 7) + '"]',
    "spaces": "-" + " " * LONG,
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_64_kb_made_to_be_slow_are_read_in_linear_time(kind: str) -> None:
    text = HOSTILE[kind][:LONG]
    started = time.process_time()
    check(read(text))
    # Measured at 2 to 40 ms where this was written; quadratic readers take many seconds.
    assert time.process_time() - started < 0.5
