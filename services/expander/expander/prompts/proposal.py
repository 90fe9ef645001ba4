"""The prompt that asks for topics. Knows nothing of how the LLM is reached or what becomes of its answer."""

from typing import Any

from expander.interests import Asked
from expander.prompts.condensing import condensed, cut
from expander.prompts.files import prompt_file
from expander.prompts.rendering import rendered
from expander.readings import Prompt

TOPICS = prompt_file("topics-2")
LEAST_TOPICS, MOST_TOPICS = 3, 5
LEAST_TOPIC_CHARACTERS, MAX_TOPIC_CHARACTERS = 2, 60

RESPONSE_FORMAT: dict[str, Any] = {
    "type": "json_schema",
    "json_schema": {
        "name": "topics",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {
                "topics": {
                    "type": "array",
                    "items": {"type": "string", "minLength": LEAST_TOPIC_CHARACTERS, "maxLength": MAX_TOPIC_CHARACTERS},
                    "minItems": LEAST_TOPICS,
                    "maxItems": MOST_TOPICS,
                }
            },
            "required": ["topics"],
            "additionalProperties": False,
        },
    },
}
"""The answer's form, as OpenAI and vLLM take it. Some servers accept and ignore it, so every answer is checked all the same.

No `pattern`: beside one, the grammars of vLLM (xgrammar) drop `maxLength` without a word (mlc-ai/xgrammar #895, vllm-project/vllm #45592),
and an LLM that may write without end does so until it is cut.
"""


def topics(asked: Asked) -> Prompt:
    """The conversation that asks for topics of one interest, of a history, or of both."""
    return rendered(TOPICS, told(asked), RESPONSE_FORMAT)


def told(asked: Asked) -> dict[str, Any]:
    """What the LLM reads of `asked`: `interest`, `history` and `locale` as far as there are any, condensed."""
    data: dict[str, Any] = {}
    if interest := cut(asked.interest, TOPICS.limits["interest"]):
        data["interest"] = interest
    if history := condensed(asked.history, TOPICS.limits):
        data["history"] = history
    if asked.locale and (locale := cut(asked.locale, TOPICS.limits["locale"])):
        data["locale"] = locale
    return data
