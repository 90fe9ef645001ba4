"""Reads topics out of what an LLM answered, and accepts only what can be used. Knows nothing of how the answer came.

Tolerant of form (code fences, prose around the JSON, a bare array), strict of content: an error text, an empty string or the interest
itself is not a topic, and an answer that was cut off is none.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from expander.errors import LlmInvalid
from expander.prompts import LEAST_TOPICS, MAX_TOPIC_CHARACTERS
from expander.words import folded, normalised

MAX_TRIED_STARTS = 50
_THOUGHT = re.compile(r"<think>.*?</think>", re.DOTALL | re.IGNORECASE)
_START = re.compile(r"[{\[]")
_NOT_A_TOPIC = re.compile(
    r"""^(?: <?(?:error|exception|traceback|sorry)\b | failed\ to\b | failure\W*$ | apologi[sz]e | i'm\b | i\ (?:can|could|am|do|will|was)\b
    | as\ an?\ (?:ai|language)\b | cannot\b | unable\ to\b | not\ (?:available|found|applicable)\b | rate\ limit\b | too\ many\ requests
    | internal\ server | bad\ (?:request|gateway) | service\ unavailable | (?:request\ )?timed?\ ?out\b
    | (?:none|null|nil|nan|n/?a|unknown|undefined|empty|string|topics?|interest|example|skipped|invalid)\W*$
    | (?:topic|item|example|string)\W*\d+$ | (?:first|second|third|fourth|fifth|another)\ topic$ )""",
    re.VERBOSE | re.IGNORECASE,
)
_FORBIDDEN = re.compile(r"[<>{}\[\]|\\\"`]|https?:|_{2,}|\bSKIPPED\b")


def content_of(body: bytes) -> str:
    """The text of the first choice of a chat completion; raises `LlmInvalid` when there is none or it was cut off."""
    try:
        choice = json.loads(body)["choices"][0]
        reason, content = choice.get("finish_reason"), choice["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        raise LlmInvalid(f"the LLM's answer is not a chat completion ({type(error).__name__})") from error
    if reason == "length":
        raise LlmInvalid("the LLM's answer was cut off (finish_reason length); raise EXPANDER_LLM_MAX_TOKENS")
    if not isinstance(content, str):
        raise LlmInvalid(f"the LLM's answer has no text but {type(content).__name__}")
    return content


def topics_of(text: str, interest: str, most: int) -> tuple[str, ...]:
    """At most `most` topics of an answer's text; raises `LlmInvalid` when fewer than three (or `most`, if less) are acceptable."""
    best: tuple[str, ...] = ()
    for found in _lists(_THOUGHT.sub("", text)):
        accepted = _acceptable(found, interest)
        if len(accepted) >= LEAST_TOPICS:
            return accepted[:most]
        best = max(best, accepted, key=len)
    if len(best) >= min(LEAST_TOPICS, most):
        return best[:most]
    raise LlmInvalid(f"the LLM's answer holds {len(best)} acceptable topics; {min(LEAST_TOPICS, most)} are needed")


def _lists(text: str) -> Iterator[list[Any]]:
    """Every list that stands in `text` as JSON by itself, or as a member of an object."""
    decoder, at = json.JSONDecoder(), 0
    for _ in range(MAX_TRIED_STARTS):
        if (start := _START.search(text, at)) is None:
            return
        try:
            value, at = decoder.raw_decode(text, start.start())
        except (ValueError, RecursionError):
            at = start.end()
            continue
        if isinstance(value, list):
            yield value
        elif isinstance(value, dict):
            named = value.get("topics")
            yield from [named] if isinstance(named, list) else [member for member in value.values() if isinstance(member, list)]


def _acceptable(found: list[Any], interest: str) -> tuple[str, ...]:
    kept: dict[frozenset[str] | str, str] = {}
    asked = normalised(interest), frozenset(folded(interest))
    for each in found:
        if not isinstance(each, str) or (topic := _cleaned(each)) is None:
            continue
        words = frozenset(folded(topic)) or normalised(topic)
        if normalised(topic) != asked[0] and words != asked[1]:
            kept.setdefault(words, topic)
    return tuple(kept.values())


def _cleaned(text: str) -> str | None:
    topic = " ".join(text.split()).strip(" .,;:-*\u2022'")
    readable = 2 <= len(topic) <= MAX_TOPIC_CHARACTERS and topic.isprintable() and any(char.isalpha() for char in topic)
    return topic if readable and not _NOT_A_TOPIC.match(topic) and not _FORBIDDEN.search(topic) else None
