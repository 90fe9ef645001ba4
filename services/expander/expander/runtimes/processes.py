"""Runs vLLM as a child: starts it in a clean environment, asks whether it is ready, stops it. Knows nothing of artefacts.

The environment is composed by env(1), so that this process reads none itself.
"""

import contextlib
import http.client
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

STOP_S = 20.0
POLL_S = 0.5


def in_environment(line: Sequence[str], variables: Sequence[tuple[str, str]], unset: Sequence[str]) -> tuple[str, ...]:
    """`line` behind an env(1) that sets `variables` and removes `unset`."""
    removed = [part for name in unset for part in ("-u", name)]
    return ("env", *removed, *(f"{name}={value}" for name, value in variables), *line)


def start(line: Sequence[str]) -> "subprocess.Popen[bytes]":
    """The child, leader of a process group of its own, so that its workers can be stopped with it."""
    return subprocess.Popen(line, start_new_session=True)


def stop(child: "subprocess.Popen[bytes]") -> None:
    """Ends the child and all its workers: SIGTERM, and SIGKILL after 20 seconds or when the child has left some behind."""
    if child.poll() is None:
        _signal(child, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(STOP_S)
    _signal(child, signal.SIGKILL)
    child.wait()


def status_of_models(port: int, timeout_s: float = 5.0) -> int | None:
    """The status of GET /v1/models on this machine, or None where nobody answers. Unlike /health it needs a loaded model."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        connection.request("GET", "/v1/models")
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def wait_ready(child: "subprocess.Popen[bytes]", port: int, budget_s: float, ready: Sequence[int] = (200,)) -> bool:
    """Whether vLLM answers with one of the statuses before it ends and before `budget_s` seconds have passed."""
    until = time.monotonic() + budget_s
    while child.poll() is None and time.monotonic() < until:
        if status_of_models(port) in ready:
            return True
        time.sleep(POLL_S)
    return False


@contextlib.contextmanager
def handled_by(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """SIGTERM and SIGINT go to `handler` meanwhile."""
    before = {number: signal.signal(number, handler) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


def stopped_by_signals() -> contextlib.AbstractContextManager[None]:
    """SIGTERM and SIGINT end this process by an exception, so that what it has begun is undone, also where it is process 1."""

    def leave(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    return handled_by(leave)


def _signal(child: "subprocess.Popen[bytes]", number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, number)
