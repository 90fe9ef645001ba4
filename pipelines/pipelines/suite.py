"""The four services as local processes on free ports of 127.0.0.1. Knows how to start, signal and stop them, not what they do."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx2

from servicekit.settings import environment_with

SERVICES = ("encoder", "expander", "retriever", "gateway")


class SuiteFailed(Exception):
    """A service ended or did not become ready; the message names it and the end of its log."""


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now; all are held open until the last is found, so that they differ."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for opened in sockets:
            opened.bind(("127.0.0.1", 0))
        return [opened.getsockname()[1] for opened in sockets]


class Suite:
    """Runs the services with their state under `folder`; a context manager that leaves no child behind."""

    def __init__(self, folder: Path, settings: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.ports = dict(zip(SERVICES, free_ports(len(SERVICES)), strict=True))
        self._settings = dict(settings or {})
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def gateway_url(self) -> str:
        return self.url("gateway")

    @property
    def topics_path(self) -> Path:
        return self.folder / "artefacts" / "topics.json"

    def url(self, service: str) -> str:
        return f"http://127.0.0.1:{self.ports[service]}"

    def log(self, service: str) -> Path:
        return self.folder / "logs" / f"{service}.log"

    def pid(self, service: str) -> int:
        return self._processes[service].pid

    def _environment(self, service: str) -> dict[str, str]:
        own = {f"{service.upper()}_PORT": str(self.ports[service]), f"{service.upper()}_STATE_DIR": str(self.folder / service)}
        if service == "gateway":
            own |= {f"GATEWAY_{other.upper()}_URL": self.url(other) for other in SERVICES if other != "gateway"}
        if service == "expander":
            own |= {"EXPANDER_TOPICS_PATH": str(self.topics_path), "EXPANDER_ENCODER_URL": self.url("encoder")}
        # One thread per process for BLAS and OpenMP: the services schedule their own threads, more would fight over the cores.
        return environment_with(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", **(own | self._settings))

    def start(self, *services: str) -> None:
        """Starts the named services, all of them without a name; does not wait."""
        for service in services or SERVICES:
            log = self.log(service)
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("ab") as output:
                self._processes[service] = subprocess.Popen(
                    [sys.executable, "-m", service],
                    env=self._environment(service),
                    stdout=output,
                    stderr=output,
                    start_new_session=True,  # Ctrl-C reaches only the parent, which then stops the children in order
                )

    def wait_ready(self, *services: str, timeout_s: float = 120) -> None:
        """Returns when the named services (or all) answer `/readyz` with 200; raises `SuiteFailed` otherwise."""
        ends = time.monotonic() + timeout_s
        for service in services or SERVICES:
            while not self._is_ready(service):
                if (code := self._processes[service].poll()) is not None:
                    raise SuiteFailed(f"{service} ended with status {code}:\n{self._log_tail(service)}")
                if time.monotonic() > ends:
                    raise SuiteFailed(f"{service} was not ready within {timeout_s:.0f} s:\n{self._log_tail(service)}")
                time.sleep(0.05)

    def _is_ready(self, service: str) -> bool:
        try:
            return httpx2.get(self.url(service) + "/readyz", timeout=2, trust_env=False).status_code == 200
        except httpx2.TransportError:
            return False

    def _log_tail(self, service: str) -> str:
        return "\n".join(self.log(service).read_text(errors="replace").splitlines()[-15:])

    def signal(self, service: str, number: int) -> None:
        """Sends a signal: SIGKILL kills, SIGSTOP stalls, SIGCONT wakes."""
        self._processes[service].send_signal(number)
        if number == signal.SIGKILL:
            self._processes[service].wait()

    def wait(self, service: str, timeout_s: float = 30) -> int:
        """The exit status of a service that was told to end."""
        return self._processes[service].wait(timeout_s)

    @contextmanager
    def killed(self, service: str) -> Iterator[None]:
        """The service is dead inside, and ready again after."""
        self.signal(service, signal.SIGKILL)
        try:
            yield
        finally:
            self.start(service)
            self.wait_ready(service)

    @contextmanager
    def stalled(self, service: str) -> Iterator[None]:
        """The service accepts connections but does not answer inside, and goes on after."""
        self.signal(service, signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal(service, signal.SIGCONT)

    def stop(self) -> None:
        """SIGTERM to all, the gateway first so that it drains; SIGKILL to one that has not ended after 25 s."""
        running = [self._processes[name] for name in reversed(SERVICES) if name in self._processes]
        for process in running:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
        for process in running:
            try:
                process.wait(25)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()
