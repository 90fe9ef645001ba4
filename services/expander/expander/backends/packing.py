"""Expansions as the stores write them: one JSON object. Knows nothing of where it is written; what it reads may be anybody's."""

import json
import math
from typing import Any

from expander.entries import Entry

FORMAT = 1
"""Of the object; one of another format is none of ours."""
FEWEST, MOST, LONGEST = 3, 5, 200
"""Topics of an entry that has any, and characters of one."""


def packed(entry: Entry) -> str:
    """`entry` as JSON."""
    content = {
        "format": FORMAT,
        "topics": entry.topics,
        "made_at": entry.made_at,
        "tokens": entry.tokens,
        "completion_tokens": entry.completion_tokens,
        "cause": entry.cause,
        "personal": entry.personal,
        "refused_at": entry.refused_at,
    }
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def unpacked(text: str | bytes) -> Entry | None:
    """The entry; None for whatever `packed` does not write."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict) or content.pop("format", None) != FORMAT or content.keys() != _fields():
        return None
    return Entry(**{**content, "topics": tuple(content["topics"])}) if _is_sound(content) else None


def _fields() -> set[str]:
    """Names of what an object holds beside its format."""
    return {"topics", "made_at", "tokens", "completion_tokens", "cause", "personal", "refused_at"}


def _is_sound(content: dict[str, Any]) -> bool:
    topics, cause = content["topics"], content["cause"]
    return (
        isinstance(topics, list)
        and (not topics or FEWEST <= len(topics) <= MOST)
        and all(_is_word(topic) for topic in topics)
        and (cause is None or _is_word(cause))
        and all(_is_number(content[name]) for name in ("made_at", "tokens", "completion_tokens", "refused_at"))
        and all(isinstance(content[name], int) for name in ("tokens", "completion_tokens"))
        and isinstance(content["personal"], bool)
    )


def _is_word(text: object) -> bool:
    return isinstance(text, str) and 0 < len(text) <= LONGEST and text.isprintable()


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf
