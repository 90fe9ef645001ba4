"""Reads an item's tags and description out of an LLM's answer, and accepts only what can be used. Knows nothing of how the answer came.

Tolerant of form, strict of content. Total: whatever the text is, it returns a reading, in time linear in its length.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from expander import accepting, extracting
from expander.characters import legible
from expander.items import Described
from expander.prompts import ENRICHMENT, LEAST_TAGS, MAX_DESCRIPTION_CHARACTERS, MOST_TAGS
from expander.readings import Completion, Reading
from expander.wording import refuses, takes_over
from expander.words import folded, normalised

LEAST_DESCRIPTION_WORDS = 4
LEAKING_TAG_WORDS, LEAKING_DESCRIPTION_WORDS = 3, 5
"""So many words in a row of the prompt are taken from it."""
MOST_CANDIDATES, MOST_VALUES, DEEPEST = 40, 60, 3
MOST_TITLE = 500
_WORD = re.compile(r"[^\W_]+")
_SEPARATORS = re.compile(r"[,;\n]")
_ENDS = (".", "!", "?", "\u2026", "\u3002")
_SHORT = ("Mr", "Mrs", "Ms", "Dr", "St", "Jr", "Sr", "vs", "No", "Vol", "Prof", "[A-Z]")
"""Words whose full stop ends no sentence."""
_SENTENCE_END = re.compile("".join(rf"(?<!\b{short})" for short in _SHORT) + r"[.!?\u2026]['\u2019\u201d)]?\s+(?=[^\W\d_a-z])")
_PLACEHOLDER = re.compile(
    r"(?:(?:first|second|third|fourth|another|next|last|example|subject)\s+)?(?:tags?|descriptions?|subjects?)(?:\W*\d+)?", re.IGNORECASE
)
_ADVERTISES = re.compile(
    r"""\b(?: must[- ](?:read|have|see|buy) | best[- ]?sell\w+ | (?:buy|order|subscribe|get\ it)\s+(?:now|here|today|online)
    | \d+\s?%\ off | free\ shipping | promo\ code )\b""",
    re.VERBOSE | re.IGNORECASE,
)


@dataclass(frozen=True)
class Enriched:
    """What an LLM wrote of an item: 3 to 8 tags of 2 to 60 characters, and one sentence of 20 to 200."""

    tags: tuple[str, ...]
    description: str


def read(completion: Completion, item: Described) -> Reading[Enriched]:
    """Tags and description, or None and the cause (see `Reading`)."""
    if completion.finish_reason == "length":
        return Reading(None, "cut", "the answer was cut off (finish_reason length)")
    if not (text := completion.text).strip():
        return Reading(None, "empty", "the answer is empty")
    known = _Known.of(item)
    if _as_asked(whole := extracting.as_asked(text)) and (found := _enriched(whole, known)):
        as_written = (list(found.tags), found.description) == (whole["tags"], whole["description"])
        return Reading(found, "accepted" if as_written else "repaired")
    seen = False
    for candidate in _candidates(text):
        seen = True
        if found := _enriched(candidate, known):
            return Reading(found, "repaired")
    if refuses(extracting.without_thoughts(text[: extracting.READ_CHARACTERS]).strip()) or completion.finish_reason == "content_filter":
        return Reading(None, "refusal", "the answer refuses")
    if not seen:
        return Reading(None, "not_json", "the answer holds no object with tags and a description")
    return Reading(None, "too_few", f"the answer lacks {LEAST_TAGS} acceptable tags or an acceptable description")


@dataclass(frozen=True)
class _Known:
    """What of the item an answer must not merely give back, and the words of a title that speaks to the machine."""

    names: frozenset[str]
    folded_names: frozenset[frozenset[str]]
    name_words: frozenset[str]
    orders: frozenset[str]

    @classmethod
    def of(cls, item: Described) -> "_Known":
        names = [
            item.title[:MOST_TITLE],
            *(name[:MOST_TITLE] for kind in ("authors", "author") for name in item.words(kind)[:MOST_CANDIDATES]),
        ]
        title = legible(item.title[:MOST_TITLE])
        return cls(
            frozenset(normalised(name) for name in names),
            frozenset(frozenset(folded(name)) for name in names),
            frozenset(word for name in names for word in folded(name)),
            frozenset(folded(title) if takes_over(title) is not None else ()),
        )

    def is_name(self, tag: str) -> bool:
        words = frozenset(folded(tag))
        return normalised(tag) in self.names or (bool(words) and words in self.folded_names)


def _enriched(value: Mapping[str, Any], known: _Known) -> Enriched | None:
    tags = _tags(value.get("tags"), known)
    written = value.get("description")
    description = _description(written, known) if isinstance(written, str) else None
    return Enriched(tags, description) if len(tags) >= LEAST_TAGS and description else None


def _tags(found: Any, known: _Known) -> tuple[str, ...]:
    """The first eight tags, each once: texts that differ in case, number, order of words or composition are one."""
    listed = _SEPARATORS.split(found[:1_000]) if isinstance(found, str) else found if isinstance(found, list) else []
    kept: dict[frozenset[str] | str, str] = {}
    for each in listed[:MOST_CANDIDATES]:
        if not isinstance(each, str) or (tag := accepting.topic(each)) is None:
            continue
        words = folded(tag)
        leaks = _leaks(tag, LEAKING_TAG_WORDS) or _PLACEHOLDER.fullmatch(tag) is not None
        if not leaks and not known.is_name(tag) and known.orders.isdisjoint(words):
            kept.setdefault(frozenset(words) or normalised(tag), tag)
    return tuple(kept.values())[:MOST_TAGS]


def _description(text: str, known: _Known) -> str | None:
    """The first sentence of `text`, when it says something of the item."""
    if (sentence := _sentence(text)) is None or (line := accepting.line(sentence, MAX_DESCRIPTION_CHARACTERS)) is None:
        return None
    words = folded(line)
    says = len(_WORD.findall(line)) >= LEAST_DESCRIPTION_WORDS and not frozenset(words) <= known.name_words
    to_nobody = known.orders.isdisjoint(words) and not _ADVERTISES.search(line) and takes_over(line) is None
    return line if says and to_nobody and not _leaks(line, LEAKING_DESCRIPTION_WORDS) else None


def _sentence(text: str) -> str | None:
    """The first sentence with its full stop. None where a grammar that bounds the length stopped it: the last word may be half of one."""
    line = " ".join(text[: 8 * MAX_DESCRIPTION_CHARACTERS].split()).strip('"*` \u201c\u201d')
    if end := _SENTENCE_END.search(line):
        return line[: end.end()].rstrip()
    if line.rstrip("'\u2019\u201d)").endswith(_ENDS):
        return line
    return f"{line.rstrip(' ,;:-')}." if len(line) < MAX_DESCRIPTION_CHARACTERS - 1 else None


def _as_asked(value: Any) -> bool:
    return isinstance(value, dict) and set(value) == {"tags", "description"} and isinstance(value["tags"], list)


def _candidates(text: str) -> Iterator[Mapping[str, Any]]:
    """Objects that name tags and a description, however these are written."""
    looked = 0
    for value in extracting.values(text):
        for members in _objects(value, 0):
            named = {name.strip().lower(): member for name, member in members.items() if isinstance(name, str)}
            if "description" in named and ("tags" in named or "subjects" in named):
                yield {"tags": named.get("tags", named.get("subjects")), "description": named["description"]}
            looked += 1
            if looked >= MOST_VALUES:
                return


def _objects(value: Any, depth: int) -> Iterator[Mapping[str, Any]]:
    if depth > DEEPEST:
        return
    if isinstance(value, dict):
        yield value
    members = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for _, member in zip(range(MOST_CANDIDATES), members, strict=False):
        yield from _objects(member, depth + 1)


def _leaks(text: str, words: int) -> bool:
    return not _runs(text, words).isdisjoint(_prompt_runs(words))


def _runs(text: str, words: int) -> frozenset[tuple[str, ...]]:
    said = _WORD.findall(normalised(text))
    return frozenset(zip(*(said[at:] for at in range(words)), strict=False))


@cache
def _prompt_runs(words: int) -> frozenset[tuple[str, ...]]:
    return _runs(ENRICHMENT.system, words) | _runs(ENRICHMENT.user, words)
