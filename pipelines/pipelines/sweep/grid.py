"""The loads that every endpoint is measured under, and how each is run. Knows no endpoint."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from pipelines.sweep.faults import SweepRefused


@dataclass(frozen=True)
class Load:
    """`concurrency` requests in flight all the time, each with a prompt of about `prompt_tokens` (None: not known)."""

    concurrency: int
    prompt_tokens: int | None

    def __str__(self) -> str:
        length = "prompt length not published" if self.prompt_tokens is None else f"prompts of {self.prompt_tokens} tokens"
        return f"{self.concurrency} at once, {length}"


@dataclass(frozen=True)
class Pace:
    """How a cell is measured: until `requests` were made, or until no new one begins after `seconds`; one of the two is None.

    `warmup` requests of each caller come first and are not counted; an answer that takes longer than `timeout_s` is a failure.
    """

    output_tokens: int = 64
    requests: int | None = 200
    seconds: float | None = None
    warmup: int = 2
    timeout_s: float = 120.0
    ttft: bool = False


def loads(concurrency: Sequence[int], prompt_tokens: Sequence[int], pace: Pace) -> tuple[Load, ...]:
    """Every combination, each once; raises `SweepRefused` for what can not be measured."""
    for name, values in (("concurrency", concurrency), ("prompt-tokens", prompt_tokens)):
        if bad := [value for value in values if value < 1]:
            raise SweepRefused(f"--{name} {bad[0]} must be 1 or more.")
    for name, value, least in (("output-tokens", pace.output_tokens, 1), ("warmup", pace.warmup, 0)):
        if value < least:
            raise SweepRefused(f"--{name} {value} must be {least} or more.")
    for name, seconds in (("seconds", pace.seconds), ("timeout-s", pace.timeout_s)):
        if seconds is not None and not (math.isfinite(seconds) and seconds > 0):
            raise SweepRefused(f"--{name} {seconds:g} must be a number of seconds above 0.")
    most = max(concurrency)
    if pace.requests is not None and pace.requests < most:
        raise SweepRefused(
            f"--requests {pace.requests} is below --concurrency {most}: not every caller would ask once. Give {most} or more."
        )
    return tuple(dict.fromkeys(Load(callers, length) for length, callers in product(prompt_tokens, concurrency)))
