"""What one cell's measurement yields, before any figure is made of it. Knows nothing of how it was measured."""

from dataclasses import asdict, dataclass, field
from typing import Any


class Failed(Exception):
    """One request without a usable answer: `cause` is counted by, `detail` is for a person."""

    def __init__(self, cause: str, detail: str = "") -> None:
        super().__init__(f"{cause}: {detail}" if detail else cause)
        self.cause, self.detail = cause, detail


@dataclass(frozen=True)
class Answer:
    """One completion. `ms` from sending to the last byte, `first_ms` to the first token where answers are streamed."""

    ms: float
    prompt_tokens: int
    completion_tokens: int
    first_ms: float | None = None


@dataclass(frozen=True)
class Run:
    """All counted requests of a cell.

    `per_second` is answers per second at full concurrency: the sum over the callers of answers / own time. `client_share` is the CPU time
    of this process over the cell's time: near 1 the client, not the server, was measured. `fixed` tells what set completion lengths.
    """

    answers: tuple[Answer, ...]
    failures: dict[str, int]
    """Failed requests by cause."""
    examples: dict[str, str]
    """What the first failure of each cause said."""
    per_second: float
    seconds: float
    client_share: float
    fixed: str = ""
    given_up: bool = False
    """Whether it was ended early, because nothing but failures came."""
    started: str = field(default="")
    """UTC, ISO 8601."""

    def document(self) -> dict[str, Any]:
        """As JSON; answers as lists, because there are many."""
        answers = [[each.ms, each.prompt_tokens, each.completion_tokens, each.first_ms] for each in self.answers]
        return {**asdict(self), "answers": answers}

    @classmethod
    def of(cls, document: dict[str, Any]) -> "Run":
        """From `document`; raises `TypeError` or `ValueError` for anything else."""
        return cls(**{**document, "answers": tuple(Answer(*row) for row in document["answers"])})
