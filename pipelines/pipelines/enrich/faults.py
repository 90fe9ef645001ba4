"""What can go wrong while items are enriched. Knows no exit status.

EnrichFailed
├── OptionsUnusable     the options do not go together
├── InputUnusable       the file of items can not be read
├── ExpanderRefused     the expander has no LLM, refused items, answered nonsense, or could not answer for too long
├── GatewayUnreachable  the gateway did not answer
├── JournalRefused      the journal is damaged, of something else, or being written by another run
└── EnrichIncomplete    items were left without an enrichment, or not stored; every other one is
"""


class EnrichFailed(Exception):
    """The root of the job's errors; the message says what to do."""


class OptionsUnusable(EnrichFailed):
    """The options do not go together."""


class InputUnusable(EnrichFailed):
    """The file of items can not be read."""


class ExpanderRefused(EnrichFailed):
    """The expander has no LLM, refused items, answered nonsense, or could not answer for too long."""


class GatewayUnreachable(EnrichFailed):
    """The gateway did not answer."""


class JournalRefused(EnrichFailed):
    """The journal is damaged, of something else, or being written by another run."""


class EnrichIncomplete(EnrichFailed):
    """Items were left without an enrichment, or were not stored; every other one is."""
