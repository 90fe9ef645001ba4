"""The expander's errors. Knows nothing of HTTP.

ExpanderError
├── ArtefactMissing      there is no co-occurrence artefact at the configured path
├── ArtefactBroken       the artefact's file can not be used
├── NotReady             neither an LLM nor an artefact can propose topics
└── LlmFailed            the LLM gave no usable topics; never leaves the service, the fallback answers
    ├── LlmUnreachable   no connection, or it broke
    ├── LlmLate          no answer before the deadline
    ├── LlmBusy          all permits were taken
    ├── LlmRefused       an answer with status 400 or above
    └── LlmInvalid       an answer that holds no acceptable topics
"""


class ExpanderError(Exception):
    """What goes wrong in the expander."""


class ArtefactMissing(ExpanderError):
    """There is no co-occurrence artefact at the configured path."""


class ArtefactBroken(ExpanderError):
    """The artefact's file can not be used."""


class NotReady(ExpanderError):
    """Neither an LLM nor an artefact can propose topics."""


class LlmFailed(ExpanderError):
    """The LLM gave no usable topics; `outcome` is the word that the metrics count it under."""

    outcome = "failed"


class LlmUnreachable(LlmFailed):
    """No connection, or it broke."""

    outcome = "unreachable"


class LlmLate(LlmFailed):
    """No answer before the deadline."""

    outcome = "late"


class LlmBusy(LlmFailed):
    """All permits were taken."""

    outcome = "busy"


class LlmRefused(LlmFailed):
    """An answer with status 400 or above."""

    outcome = "refused"

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class LlmInvalid(LlmFailed):
    """An answer that holds no acceptable topics."""

    outcome = "invalid"
