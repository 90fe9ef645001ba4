"""The prompt that asks for an item's tags and description. Knows nothing of how the LLM is reached or what becomes of its answer."""

import re
from collections.abc import Sequence
from typing import Any

from expander.characters import legible
from expander.items import Described
from expander.prompts.condensing import READ_CHARACTERS, cut
from expander.prompts.files import prompt_file
from expander.prompts.proposal import LEAST_TOPIC_CHARACTERS, MAX_TOPIC_CHARACTERS
from expander.prompts.rendering import rendered
from expander.prompts.tokens import estimated
from expander.readings import Prompt
from expander.wording import takes_over

ENRICHMENT = prompt_file("enrich-1")
LEAST_TAGS, MOST_TAGS = 3, 8
LEAST_DESCRIPTION_CHARACTERS, MAX_DESCRIPTION_CHARACTERS = 20, 200
OF_A_KIND, OF_A_WORD = 8, 4
"""Tokens of the JSON around a kind of words, and around one word."""
FIRST_KINDS = ("genres", "subjects", "authors", "author", "categories", "keywords", "series")
"""Told before other attributes, which fill what room is left."""
LINK = "://"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_TAG = re.compile(r"</?(?:p|br|b|i|u|em|strong|div|span|ul|ol|li|hr|h[1-6]|blockquote)(?:\s[^<>]{0,200})?/?>", re.IGNORECASE)
"""What shops format descriptions with; other markup is none of a description."""
MOST_TOKENS = 1_700
"""With the answer's own within the 2,048 that the profiles of Neuron are compiled for."""

ENRICHMENT_FORMAT: dict[str, Any] = {
    "type": "json_schema",
    "json_schema": {
        "name": "enrichment",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {
                "tags": {
                    "type": "array",
                    "items": {"type": "string", "minLength": LEAST_TOPIC_CHARACTERS, "maxLength": MAX_TOPIC_CHARACTERS},
                    "minItems": LEAST_TAGS,
                    "maxItems": MOST_TAGS,
                },
                "description": {
                    "type": "string",
                    "minLength": LEAST_DESCRIPTION_CHARACTERS,
                    "maxLength": MAX_DESCRIPTION_CHARACTERS,
                },
            },
            "required": ["tags", "description"],
            "additionalProperties": False,
        },
    },
}
"""The answer's form; see `proposal.RESPONSE_FORMAT` for why it has no `pattern`. Every answer is checked all the same."""


def enrichment(item: Described) -> Prompt:
    """The conversation that asks for tags and a description of one item.

    A text is told up to where it begins to speak to the machine, and a word that does is left out: other words of the item remain. What
    is nearly all markup, of which each character stands as six, is left out where the whole would not fit.
    """
    data: dict[str, Any] = {"title": cut(item.title, ENRICHMENT.limits["title"])}
    if about := _about(item):
        data["about"] = about
    if item.text and (text := cut(_of_the_item(item.text), ENRICHMENT.limits["text"])):
        data["text"] = text
    prompt = rendered(ENRICHMENT, data, ENRICHMENT_FORMAT)
    for part in ("text", "about"):
        if prompt.tokens > MOST_TOKENS and data.pop(part, None):
            prompt = rendered(ENRICHMENT, data, ENRICHMENT_FORMAT)
    return prompt


def _about(item: Described) -> dict[str, list[str]]:
    """Words by kind, the telling kinds first and the others by name, as many as there is room for."""
    others = sorted(name for name in set(item.attributes) - set(FIRST_KINDS) if _names_a_kind(name))
    told: dict[str, list[str]] = {}
    left = ENRICHMENT.limits["about"]
    for kind in (*FIRST_KINDS, *others):
        name = cut(kind, ENRICHMENT.limits["word"])
        words, spare = _fitting(item.words(kind), left - OF_A_KIND - estimated(name))
        if name and words:
            told[name], left = words, spare
    return told


def _names_a_kind(name: str) -> bool:
    return _NAME.fullmatch(name) is not None and takes_over(name.replace("_", " ")) is None


def _fitting(words: Sequence[str], tokens: int) -> tuple[list[str], int]:
    """The words of one kind that `tokens` are enough for, and how many tokens are left; links are no words."""
    kept: list[str] = []
    for word in words[: ENRICHMENT.limits["words"]]:
        said = cut(word, ENRICHMENT.limits["word"])
        needed = OF_A_WORD + estimated(said)
        if said and LINK not in said and takes_over(said) is None and needed <= tokens:
            kept.append(said)
            tokens -= needed
    return kept, tokens


def _of_the_item(text: str) -> str:
    line = legible(_TAG.sub(" ", text[:READ_CHARACTERS]))
    return line[: takes_over(line)]
