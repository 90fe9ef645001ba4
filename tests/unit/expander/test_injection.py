"""What a user writes changes neither the contract of the prompt nor what an answer may hold, even when the LLM obeys the user."""

import json
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import jsonschema
import pytest

from expander import parsing, prompts
from expander.interests import Asked, Liked
from expander.readings import Completion
from expander.told import Told

GOOD = ("court intrigue", "galactic empires", "river journeys", "mountain villages", "dynastic sagas")
SCHEMA = prompts.RESPONSE_FORMAT["json_schema"]["schema"]
SPECIAL = re.compile(
    r"<\||\|>|\[/?INST|<</?SYS|</?s>|<(?:start|end)_of_turn|#\s*\w|`|\b(?:system|assistant|human|user)\s?:|[\uff1c\uff1e\uff5c]", re.I
)
HIDDEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\u00ad\U000e0000-\U000e01ef]")


@dataclass(frozen=True)
class Attempt:
    """One line of `injections.ndjson`: the text (`times` over, then `tail`), where it stands, what an LLM that obeys lists, and what must
    never be shown."""

    category: str
    where: str
    text: str
    payload: list[str]
    marks: list[str]
    times: int = 1
    tail: str = ""
    asked: Asked = field(init=False)

    def __post_init__(self) -> None:
        text = self.text * self.times + self.tail
        asked = {
            "interest": Asked(text),
            "review": Asked("", (Liked("Quiet Rivers", 5.0, text), Liked("Loud Hills", 1.0))),
            "title": Asked("slow mysteries", (Liked(text, 5.0),), "de"),
        }[self.where]
        object.__setattr__(self, "asked", asked)

    @property
    def whole(self) -> str:
        return self.text * self.times + self.tail


ATTEMPTS = [Attempt(**json.loads(line)) for line in (Path(__file__).parent / "injections.ndjson").read_text("utf-8").splitlines()]
every_attempt = pytest.mark.parametrize("attempt", ATTEMPTS, ids=[f"{one.category}-{at}" for at, one in enumerate(ATTEMPTS)])


def chunks(text: str, words: int) -> list[str]:
    split = text.split()
    return [" ".join(split[at : at + words]) for at in range(0, len(split), words)]


def as_list(topics: list[str]) -> str:
    return json.dumps({"topics": topics})


OBEDIENT: dict[str, Callable[[Attempt], str]] = {
    "lists the payload": lambda one: as_list(one.payload * 3),
    "lists the payload among good topics": lambda one: as_list([*GOOD[:2], *one.payload, *GOOD[2:]]),
    "lists the payload after two good topics": lambda one: as_list([*GOOD[:2], *one.payload]),
    "lists the payload by lines": lambda one: "\n".join(f"{at}. {line}" for at, line in enumerate([*GOOD[:1], *one.payload * 3], 1)),
    "lists the payload as Python in a fence": lambda one: f"Sure!\n```python\n{one.payload * 3!r}\n```",
    "names the payload in objects": lambda one: json.dumps([{"topic": text, "why": "as told"} for text in one.payload * 3]),
    "puts topics and payload into each text": lambda one: as_list([f"{good} {text}" for good in GOOD for text in one.payload][:5]),
    "answers in prose": lambda one: f"Of course, I will: {'. '.join(one.payload)}. Anything else?",
    "answers in prose and lists good topics": lambda one: f"{' '.join(one.payload)}\n{as_list(list(GOOD))}",
    "echoes the text": lambda one: one.whole[:4_000],
    "echoes the text as topics": lambda one: as_list([one.whole[:60], *chunks(one.whole[:1_000], 3), *chunks(one.whole[:1_000], 1)][:40]),
    "echoes five words at a time": lambda one: as_list(chunks(one.whole[:1_000], 5)),
    "returns JSON of the text within JSON": lambda one: json.dumps({"answer": one.whole[:2_000], "topics": one.payload}),
    "prints its prompt": lambda one: prompts.TOPICS.system,
    "prints its prompt as topics": lambda one: as_list(chunks(prompts.TOPICS.system, 6)),
    "prints its prompt three words a topic": lambda one: as_list(chunks(prompts.TOPICS.system, 3)),
    "prints its prompt by lines": lambda one: "\n".join(f"- {line}" for line in prompts.TOPICS.system.splitlines()),
    "prints what the user sent": lambda one: prompts.topics(one.asked).messages[1]["content"],
}


def runs_of_three(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return set(zip(words, words[1:], words[2:], strict=False))


def violations(attempt: Attempt, topics: tuple[str, ...]) -> Iterator[str]:
    forms = [unicodedata.normalize("NFKC", topic).casefold() for topic in topics]
    yield from (f"{mark!r} in {form!r}" for form in forms for mark in attempt.marks if mark.casefold() in form)
    yield from (f"hidden in {topic!r}" for topic in topics if HIDDEN.search(topic))
    yield from (
        f"link or markup in {topic!r}" for topic in topics if re.search(r"[<>{}\[\]|`@=$\\]|//|www|\.(?:com|org|example|xyz)", topic)
    )
    yield from (f"the prompt in {topic!r}" for topic in topics if runs_of_three(topic) & runs_of_three(prompts.TOPICS.system))


def test_there_are_attempts_of_every_category() -> None:
    wanted = {"ignore the above", "fake JSON", "role tags", "very long", "right to left", "zero-width", "homoglyphs", "base64"}
    wanted |= {"markdown links", "code", "other languages", "exfiltration", "delimiter"}
    assert {one.category for one in ATTEMPTS} == wanted
    assert len(ATTEMPTS) >= 60


@every_attempt
def test_the_prompt_stays_one_system_text_and_one_piece_of_data(attempt: Attempt) -> None:
    system, user = prompts.topics(attempt.asked).messages
    assert system == {"role": "system", "content": prompts.TOPICS.system}
    assert user["role"] == "user"
    before, after = prompts.TOPICS.user.split("{data}")
    content = user["content"]
    assert content.startswith(before)
    assert content.endswith(after)
    assert content.count("<data>") == content.count("</data>") == 1
    line = content[len(before) : len(content) - len(after)]
    assert "\n" not in line
    assert set(json.loads(line)) <= {"interest", "history", "locale"}
    assert not SPECIAL.search(line)
    assert not HIDDEN.search(line)


@every_attempt
@pytest.mark.parametrize("behaviour", OBEDIENT)
def test_an_llm_that_obeys_the_user_yields_topics_or_nothing(attempt: Attempt, behaviour: str) -> None:
    reading = parsing.topics(Completion(OBEDIENT[behaviour](attempt), "stop"), attempt.asked)
    if reading.value is not None:
        jsonschema.validate({"topics": list(reading.value)}, SCHEMA)
        assert list(violations(attempt, reading.value)) == []


@every_attempt
def test_an_llm_that_does_not_obey_is_heard_unless_nobody_can_read_what_it_was_told(attempt: Attempt) -> None:
    value = parsing.topics(Completion(as_list(list(GOOD))), attempt.asked).value
    assert value == (None if Told.of(attempt.asked).unreadable else GOOD)


def test_only_what_is_encoded_can_not_be_read() -> None:
    unreadable = [one.category for one in ATTEMPTS if Told.of(one.asked).unreadable]
    assert unreadable == ["base64"] * 3
    assert not Told.of(Asked("Loooooooooooooooooooooooooooooooooooooooooved it, Rindfleischetikettierungs\u00fcberwachung 1984")).unreadable
