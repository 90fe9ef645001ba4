"""The expander's errors. Knows nothing of HTTP.

ExpanderError
├── ArtefactMissing      there is no co-occurrence artefact at the configured path
├── ArtefactBroken       the artefact's file can not be used
├── NotReady             neither an LLM nor an artefact can propose topics
├── LlmNotConfigured     what was asked for only an LLM can do, and there is none here
├── StoreUnavailable     the store of expansions could not erase what it was told to
├── StoreUrlInvalid      the URL of the store of expansions can not be used
└── LlmFailed            the LLM gave no usable topics; never leaves the service, the fallback answers
    ├── LlmUnreachable   no connection, or it broke
    ├── LlmLate          no answer before the deadline
    ├── LlmBusy          as many expansions wait for it as may
    ├── LlmOverBudget    the tokens of this minute are spent
    ├── LlmShut          it failed so often that it is left alone for a while
    ├── LlmRefused       an answer with status 300 or above
    └── LlmInvalid       an answer that holds nothing acceptable
"""


class ExpanderError(Exception):
    """What goes wrong in the expander."""


class ArtefactMissing(ExpanderError):
    """There is no co-occurrence artefact at the configured path."""


class ArtefactBroken(ExpanderError):
    """The artefact's file can not be used."""


class NotReady(ExpanderError):
    """Neither an LLM nor an artefact can propose topics."""


class LlmNotConfigured(ExpanderError):
    """What was asked for only an LLM can do, and there is none here."""


class StoreUnavailable(ExpanderError):
    """The store of expansions could not erase what it was told to."""


class StoreUrlInvalid(ExpanderError):
    """The URL of the store of expansions can not be used; says why without repeating it, for it may hold a password."""


class LlmFailed(ExpanderError):
    """The LLM gave no usable topics; `outcome` is the word that the metrics count it under.

    `retry_after_s`: seconds after which asking again may help, where that is known.
    """

    outcome = "failed"

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class LlmUnreachable(LlmFailed):
    """No connection, or it broke."""

    outcome = "unreachable"


class LlmLate(LlmFailed):
    """No answer before the deadline."""

    outcome = "late"


class LlmBusy(LlmFailed):
    """As many expansions wait for it as may."""

    outcome = "busy"


class LlmOverBudget(LlmFailed):
    """The tokens of this minute are spent, those of the caller or those of all."""

    outcome = "over_budget"


class LlmShut(LlmFailed):
    """It failed so often that it is left alone for a while."""

    outcome = "shut"


class LlmRefused(LlmFailed):
    """An answer with status 300 or above."""

    outcome = "refused"

    def __init__(self, message: str, status: int, retry_after_s: float | None = None) -> None:
        super().__init__(message, retry_after_s)
        self.status = status


class LlmInvalid(LlmFailed):
    """An answer that holds nothing acceptable; `cause` says in a word why (see `readings.Reading`)."""

    outcome = "invalid"

    def __init__(self, message: str, cause: str = "not_completion") -> None:
        super().__init__(message)
        self.cause = cause
