"""The fields of an item that the job reads, and those that it writes. Knows no LLM and no file.

What an LLM wrote stands in attributes that nothing else uses: `enriched_tags` (words), `enriched_description` (one line), `enriched_by`
(the model and the version of the prompt) and `enriched_embedded` (whether the gateway puts them into the item's passage). All other fields
of an item are left as they are.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

TAGS, DESCRIPTION, BY, EMBEDDED = "enriched_tags", "enriched_description", "enriched_by", "enriched_embedded"
WRITTEN = (TAGS, DESCRIPTION, BY, EMBEDDED)
MOST_TEXT, MOST_WORDS, MOST_WORD = 20_000, 50, 200
"""Characters of the text, and of each other field the values and the characters of one: more than an LLM is told of an item."""
MOST_ATTRIBUTES = 32

Item = dict[str, Any]


@dataclass(frozen=True)
class Enrichment:
    """What an LLM wrote of an item, and who did."""

    tags: tuple[str, ...]
    description: str
    model: str
    prompt_version: str


def described(item: Mapping[str, Any]) -> Item:
    """What the LLM is told of an item: its id, title, text and words. Numbers and what was enriched before are left out.

    It is bounded, because an item may be larger than a request; what is cut here the prompt has no room for.
    """
    attributes = {name: words for name, value in item.get("attributes", {}).items() if name not in WRITTEN and (words := _words(value))}
    told = {"id": item["id"], "title": item["title"], "attributes": dict(sorted(attributes.items())[:MOST_ATTRIBUTES])}
    text = item.get("text")
    return {**told, "text": text[:MOST_TEXT]} if isinstance(text, str) and text.strip() else told


def digest(told: Mapping[str, Any]) -> str:
    """SHA-256, in hexadecimal, of what the LLM is told: an item with another digest is another item to it."""
    return hashlib.sha256(json.dumps(told, sort_keys=True, ensure_ascii=True, separators=(",", ":")).encode()).hexdigest()


def enriched(item: Mapping[str, Any], made: Enrichment, *, embedded: bool) -> Item:
    """The item with what was written of it; the fields of an enrichment before are replaced."""
    by = f"{made.model} {made.prompt_version}"
    attributes = {TAGS: list(made.tags), DESCRIPTION: made.description, BY: by, EMBEDDED: embedded}
    return {**item, "attributes": {**_own(item), **attributes}}


def bare(item: Mapping[str, Any]) -> Item:
    """The item without anything that this job wrote."""
    return {**item, "attributes": _own(item)} if "attributes" in item else dict(item)


def switched(item: Mapping[str, Any], *, embedded: bool) -> Item:
    """The item with its enrichment, if it has one, in the passage or not."""
    attributes = item.get("attributes", {})
    return {**item, "attributes": {**attributes, EMBEDDED: embedded}} if TAGS in attributes else dict(item)


def _own(item: Mapping[str, Any]) -> Item:
    return {name: value for name, value in item.get("attributes", {}).items() if name not in WRITTEN}


def _words(value: Any) -> str | list[str] | None:
    if isinstance(value, str):
        return value[:MOST_WORD].strip()
    if isinstance(value, list | tuple):
        return [one[:MOST_WORD] for one in value[:MOST_WORDS] if isinstance(one, str) and one.strip()]
    return None
