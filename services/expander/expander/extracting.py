"""Finds the values that an answer holds, whatever stands around them. Knows nothing of what they should be.

In this order: JSON as it stands, then what was meant as JSON, then a list by lines. Reasoning in <think> tags is left out.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from expander.mending import mended

READ_CHARACTERS = 32_768
"""Nothing behind these is read: an answer within `max_tokens` is a tenth of it."""
MAX_TRIED_STARTS = 50
LEAST_LINES = 3
_DECODER = json.JSONDecoder(strict=False)
_START = re.compile(r"[{\[]")
_THOUGHT = re.compile(r"<(/?)(?:think|thinking|thought|reasoning)>", re.IGNORECASE)
_MARK = r"(?:\(?\d{1,2}[.):]|(?:[Tt]opic|[Tt]heme)[ \t]\d{1,2}[.):]|[-*+\u2022\u2023\u25cf\u25e6\u2013])"
_LINE = re.compile(rf"^[ \t]{{0,8}}{_MARK}[ \t]{{1,8}}(\S[^\n]{{0,300}})$", re.MULTILINE)
_BOLD = re.compile(r"(\*\*|__)(.{1,80}?)\1")
_EXPLAINED = re.compile(r"\s[-\u2013\u2014]\s|\u2014|\s{2,}\(")


def as_asked(text: str) -> Any:
    """The value when the whole text is JSON, else None."""
    try:
        return json.loads(text[:READ_CHARACTERS])
    except (ValueError, RecursionError):
        return None


def values(text: str) -> Iterator[Any]:
    """Every value in `text`: what is JSON first, then what was meant as JSON, then, if there is none of either, its lines as a list."""
    spoken = without_thoughts(text[:READ_CHARACTERS])
    if isinstance(quoted := as_asked(spoken), str):
        spoken = quoted
    yield from _whole(spoken)
    if '\\"' in spoken:
        yield from _whole(spoken.replace('\\"', '"'))
    yield from _meant(spoken)
    if lines := _lines(spoken):
        yield lines


def without_thoughts(text: str) -> str:
    """What is said outside <think> and the like. A closing tag alone ends a thought that the chat template began."""
    said: list[str] = []
    at, depth = 0, 0
    for tag in _THOUGHT.finditer(text):
        if tag[1]:
            if depth == 0:
                said.clear()
            depth = max(depth - 1, 0)
        else:
            if depth == 0:
                said.append(text[at : tag.start()])
            depth += 1
        at = tag.end()
    return "".join([*said, text[at:]] if depth == 0 else said)


def _whole(text: str) -> Iterator[Any]:
    at = 0
    for _ in range(MAX_TRIED_STARTS):
        if (start := _START.search(text, at)) is None:
            return
        try:
            value, at = _DECODER.raw_decode(text, start.start())
        except (ValueError, RecursionError):
            at = start.end()
            continue
        yield value


def _meant(text: str) -> Iterator[Any]:
    at = 0
    while start := _START.search(text, at):
        value, at = mended(text, start.start())
        yield value


def _lines(text: str) -> list[str]:
    """The entries of a numbered or bulleted list, without what is said of each."""
    entries = [match[1] for match in _LINE.finditer(text)]
    named = [bold[2] if (bold := _BOLD.match(entry)) else _EXPLAINED.split(entry, maxsplit=1)[0] for entry in entries]
    return named if len(named) >= LEAST_LINES else []
