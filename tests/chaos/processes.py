"""The retriever as a real process that can be killed. Knows nothing of what is written to it."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx2
from tests.chaos.preloaded import Forked

from servicekit.settings import environment_with

GENEROUS_S = 60
"""A busy machine is no failure."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(state: Path, **settings: str) -> dict[str, str]:
    """For a process over the folder `state`; `settings` by their names without the prefix."""
    said = {f"RETRIEVER_{name.upper()}": value for name, value in {"log_level": "ERROR", **settings}.items()}
    return environment_with(RETRIEVER_STATE_DIR=str(state), OMP_NUM_THREADS="1", **said)


def command(environment: dict[str, str], log: Path, module: str, *arguments: str) -> "subprocess.Popen[bytes]":
    """`python -m module` with its output added to `log`."""
    with log.open("ab") as output:
        return subprocess.Popen([sys.executable, "-m", module, *arguments], env=environment, stdout=output, stderr=output)


class Retriever:
    """A process over the folder `state`, and a client of it. What it logs is in `state.log` beside the folder.

    A `preloaded` one starts sooner; whatever it does then is the same.
    """

    def __init__(self, state: Path, preloaded: bool = False, **settings: str) -> None:
        self.started, self.log = time.time(), state.with_suffix(".log")
        self.port = free_port()
        said = environment(state, port=str(self.port), **settings)
        self.process = Forked("retriever", (), said, self.log) if preloaded else command(said, self.log, "retriever")
        self.client = httpx2.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=GENEROUS_S, trust_env=False)

    def wait_ready(self) -> "Retriever":
        wait_until(lambda: self.readiness().status_code == 200, "the retriever did not become ready")
        return self

    def readiness(self) -> httpx2.Response:
        """What it says of itself; an empty 503 while it does not listen yet."""
        assert self.process.poll() is None, f"the retriever stopped: {self.log.read_text()[-2_000:]}"
        with suppress(httpx2.TransportError):
            return self.client.get("/readyz")
        return httpx2.Response(503)

    def children(self) -> list[int]:
        """The processes that it started, which is the one that builds."""
        found = []
        for path in Path(f"/proc/{self.process.pid}/task").glob("*/children"):
            with suppress(OSError):
                found += [int(pid) for pid in path.read_text().split()]
        return found

    def kill(self) -> None:
        """kill -9; its child must end by itself."""
        children = self.children()
        self.process.send_signal(signal.SIGKILL)
        assert self.process.wait(GENEROUS_S) == -signal.SIGKILL
        wait_until(lambda: not any(map(alive, children)), "the building process outlived its parent")

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(GENEROUS_S)
        self.client.close()


def alive(pid: int) -> bool:
    """Whether the process runs; one that ended and that nobody waited for does not."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def wait_until(holds: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + GENEROUS_S
    while not holds():
        assert time.monotonic() < deadline, f"{otherwise} in {GENEROUS_S} s"
        time.sleep(0.01)


@contextmanager
def starting(state: Path, preloaded: bool = False, **settings: str) -> Iterator[Retriever]:
    """Perhaps not ready yet inside, gone after."""
    retriever = Retriever(state, preloaded, **settings)
    try:
        yield retriever
    finally:
        retriever.stop()


@contextmanager
def running(state: Path, preloaded: bool = False, **settings: str) -> Iterator[Retriever]:
    """Ready inside, gone after."""
    with starting(state, preloaded, **settings) as retriever:
        yield retriever.wait_ready()
