"""What is asked of an LLM, what it answered, and what was made of it. Knows nothing of HTTP and of no particular prompt."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

Value = TypeVar("Value")


@dataclass(frozen=True)
class Prompt:
    """One conversation of one version. `tokens` estimates those of the messages, from above; `max_tokens` bounds those of the answer."""

    version: str
    messages: tuple[dict[str, str], ...]
    response_format: dict[str, Any]
    max_tokens: int
    temperature: float
    tokens: int


@dataclass(frozen=True)
class Completion:
    """What a server answered: the text, why it ended (`stop`, `length`, ...), and the tokens that it counted (0 when it did not say)."""

    text: str
    finish_reason: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True)
class Reading(Generic[Value]):
    """What was found in a completion. `value` is None when nothing acceptable was; `cause` is the word it is counted under.

    Causes: `accepted` (as asked), `repaired` (acceptable after mending its form), and of what was not acceptable `empty`, `cut`,
    `not_json`, `too_few`, `refusal`, `not_completion`. `detail` says it for a log.
    """

    value: Value | None
    cause: str
    detail: str = ""


Reader = Callable[[Completion], Reading[Value]]
"""Total: whatever the text is, it returns and never raises."""


@dataclass(frozen=True)
class Answered(Generic[Value]):
    """An acceptable answer and what it took: calls, and the tokens of all of them."""

    value: Value
    prompt_tokens: int
    completion_tokens: int
    calls: int = 1

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens
