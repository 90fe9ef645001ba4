"""Reads topics out of what an LLM answered, and accepts only what can be used. Knows nothing of how the answer came.

Tolerant of form, strict of content. Total: whatever the text is, it returns a reading, in time linear in its length.
"""

import re
from collections.abc import Iterator
from typing import Any

from expander import accepting, extracting
from expander.interests import Asked
from expander.prompts import LEAST_TOPICS, MOST_TOPICS
from expander.readings import Completion, Reading
from expander.told import Told
from expander.wording import refuses
from expander.words import folded, normalised

MOST_CANDIDATES = 40
"""Texts of one list that are looked at: an answer has 5."""
MOST_LISTS = 60
_NAMES = ("topic", "name", "title", "label", "subject", "text", "value")
_SEPARATORS = re.compile(r"[,;\n\u3001\u060c]")


def topics(completion: Completion, asked: Asked) -> Reading[tuple[str, ...]]:
    """Three to five topics, or None and the cause (see `Reading`)."""
    if completion.finish_reason == "length":
        return Reading(None, "cut", "the answer was cut off (finish_reason length)")
    if not (text := completion.text).strip():
        return Reading(None, "empty", "the answer is empty")
    told = Told.of(asked)
    whole = extracting.as_asked(text)
    if _as_asked(whole) and list(accepted := acceptable(whole["topics"], told)) == whole["topics"]:
        return Reading(accepted, "accepted")
    best: tuple[str, ...] = ()
    found = 0
    for candidates in _candidates(text):
        found += len(candidates)
        accepted = acceptable(candidates, told)
        if len(accepted) >= LEAST_TOPICS:
            return Reading(accepted, "repaired")
        best = max(best, accepted, key=len)
    if refuses(extracting.without_thoughts(text[: extracting.READ_CHARACTERS]).strip()) or completion.finish_reason == "content_filter":
        return Reading(None, "refusal", "the answer refuses")
    if not found:
        return Reading(None, "not_json", "the answer holds no list")
    return Reading(None, "too_few", f"{len(best)} of {found} are acceptable topics; {LEAST_TOPICS} are needed")


def acceptable(candidates: list[Any], told: Told) -> tuple[str, ...]:
    """The first five topics among `candidates`, each once: texts that differ in case, number, order of words or composition are one."""
    kept: dict[frozenset[str] | str, str] = {}
    for each in candidates[:MOST_CANDIDATES]:
        topic = accepting.topic(each) if isinstance(each, str) else None
        if topic is not None and (subject := _subject(topic)) and not told.holds(topic):
            kept.setdefault(subject, topic)
    return tuple(kept.values())[:MOST_TOPICS]


def _subject(topic: str) -> frozenset[str] | str:
    """What makes two topics the same; empty when its words name no subject. Scripts without words of their own stand for themselves."""
    return frozenset(folded(topic)) or ("" if topic.isascii() else normalised(topic))


def _as_asked(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and list(value) == ["topics"]
        and isinstance(listed := value["topics"], list)
        and LEAST_TOPICS <= len(listed) <= MOST_TOPICS
    )


def _candidates(text: str) -> Iterator[list[str]]:
    """Lists of texts, those named `topics` before others of the same value."""
    looked = 0
    for value in extracting.values(text):
        lists = list(_lists(value, 0, False))
        for _, candidates in sorted(lists, key=lambda named: not named[0]):
            yield candidates
            looked += 1
            if looked >= MOST_LISTS:
                return


def _lists(value: Any, depth: int, named: bool) -> Iterator[tuple[bool, list[str]]]:
    if depth > 4:
        return
    if isinstance(value, str) and named:
        yield True, _SEPARATORS.split(value[:1_000])
    elif isinstance(value, list):
        texts = [text for member in value[:MOST_CANDIDATES] if (text := _text(member)) is not None]
        if texts:
            yield named, texts
        for member in value[:MOST_CANDIDATES]:
            if isinstance(member, list | dict):
                yield from _lists(member, depth + 1, False)
    elif isinstance(value, dict):
        members = list(value.items())[:MOST_CANDIDATES]
        for name, member in members:
            yield from _lists(member, depth + 1, name.strip().lower() in ("topics", "topic"))
        texts = [member for name, member in members if isinstance(member, str) and _enumerates(name)]
        if texts:
            yield named, texts


def _text(member: Any) -> str | None:
    """A text of a list: itself, or what an object in its place names."""
    if isinstance(member, dict):
        return next((found for name in _NAMES if isinstance(found := member.get(name), str)), None)
    return member if isinstance(member, str) else None


def _enumerates(name: str) -> bool:
    return re.fullmatch(r"\W*(?:topic|item|subject|theme|genre)?[\s_-]*(?:\d{1,2}|[a-e])?\W*", name, re.IGNORECASE) is not None
