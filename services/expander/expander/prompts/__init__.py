"""What the LLM is told: versioned files, and the data put into them. Knows nothing of what becomes of its answers."""

from expander.prompts.enrichment import ENRICHMENT, LEAST_TAGS, MAX_DESCRIPTION_CHARACTERS, MOST_TAGS, enrichment
from expander.prompts.proposal import (
    LEAST_TOPIC_CHARACTERS,
    LEAST_TOPICS,
    MAX_TOPIC_CHARACTERS,
    MOST_TOPICS,
    RESPONSE_FORMAT,
    TOPICS,
    topics,
)

PROMPT_VERSION = TOPICS.version

__all__ = [
    "ENRICHMENT",
    "LEAST_TAGS",
    "LEAST_TOPICS",
    "LEAST_TOPIC_CHARACTERS",
    "MAX_DESCRIPTION_CHARACTERS",
    "MAX_TOPIC_CHARACTERS",
    "MOST_TAGS",
    "MOST_TOPICS",
    "PROMPT_VERSION",
    "RESPONSE_FORMAT",
    "TOPICS",
    "enrichment",
    "topics",
]
