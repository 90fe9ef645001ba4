"""What belongs to the request being served: its id, its stage timings. Knows nothing of HTTP."""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_RANDOM = random.Random()
REQUEST_ID_HEADER = "x-request-id"

request_id: ContextVar[str] = ContextVar("request_id", default="-")
stage_timings: ContextVar[dict[str, float] | None] = ContextVar("stage_timings", default=None)


def new_request_id() -> str:
    """A fresh id of 96 random bits, in hexadecimal. No secret, so the system is not asked for each."""
    return f"{_RANDOM.getrandbits(96):024x}"


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Adds the milliseconds spent inside to the request's timings (`Server-Timing`)."""
    started = time.perf_counter()
    try:
        yield
    finally:
        spent(name, time.perf_counter() - started)


def spent(name: str, seconds: float) -> None:
    """Adds time that was measured elsewhere, such as in a thread, to the request's timings."""
    if (timings := stage_timings.get()) is not None:
        timings[name] = timings.get(name, 0.0) + seconds * 1_000
