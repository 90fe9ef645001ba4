"""The suite as containers of docker/compose.yaml, with the interface of `Suite`. Knows the engine's commands, not the services."""

import csv
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx2

from pipelines.suite import SERVICES, Suite, SuiteFailed, free_ports

ROOT = Path(__file__).parent.parent
COMPOSE_FILE = ROOT / "docker" / "compose.yaml"
ROLLING_FILE = ROOT / "docker" / "compose.rolling.yaml"
PUBLISHED = ROOT / "tests" / "images" / "published.yaml"
TWICE = ("gateway", "encoder", "expander")
SECONDS_OF_THEM = tuple(f"{service}-b" for service in TWICE)


def docker(*arguments: str) -> str:
    """What a docker command printed; raises `SuiteFailed` with what it complained of."""
    return _run(["docker", *arguments])


def _run(command: Sequence[str], **variables: str) -> str:
    done = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SuiteFailed(f"{' '.join(command)}: {done.stderr[-2000:]}")
    return done.stdout.strip()


def _compose_command() -> list[str]:
    """Docker Compose 2 where the client has it, else Debian's docker-compose 1.29."""
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    if plugin.returncode != 0 and not shutil.which("docker-compose"):
        raise SuiteFailed("neither `docker compose` nor `docker-compose` is here; docker/engine.sh start installs the second")
    return ["docker", "compose"] if plugin.returncode == 0 else ["docker-compose"]


class Balancer:
    """The balancer of docker/haproxy.cfg, seen from this machine."""

    def __init__(self, public_port: int, statistics_port: int) -> None:
        self.url = f"http://127.0.0.1:{public_port}"
        self._statistics = f"http://127.0.0.1:{statistics_port}/;csv"

    def _down(self) -> list[str]:
        """Replicas that get no requests now; all of them while the balancer itself is not up."""
        try:
            table = httpx2.get(self._statistics, timeout=2, trust_env=False).text
        except httpx2.TransportError:
            return ["proxy"]
        rows = csv.DictReader(table.removeprefix("# ").splitlines())
        return [row["svname"] for row in rows if row["svname"] in (*TWICE, *SECONDS_OF_THEM) and row["status"] != "UP"]

    def wait_up(self, timeout_s: float = 120) -> None:
        """Returns once every replica gets requests; raises `SuiteFailed`."""
        ends = time.monotonic() + timeout_s
        while down := self._down():
            if time.monotonic() > ends:
                raise SuiteFailed(f"the balancer found {', '.join(down)} not ready within {timeout_s:.0f} s")
            time.sleep(0.1)


class ComposeSuite(Suite):
    """Runs the images `<prefix>/<service>:<tag>`; a context manager that leaves no container, network or volume behind."""

    def __init__(self, folder: Path, prefix: str, tag: str) -> None:
        super().__init__(folder)
        self.project = f"warmstart-test-{os.getpid()}"
        self._variables = {"WARMSTART_IMAGES": prefix, "WARMSTART_TAG": tag, "COMPOSE_PROJECT_NAME": self.project}
        self._variables |= {f"{name.upper()}_PORT": str(port) for name, port in self.ports.items()}
        self._files: Sequence[Path] = (COMPOSE_FILE, PUBLISHED)
        self._ids: dict[str, str] = {}

    def compose(self, *arguments: str) -> str:
        files = [part for file in self._files for part in ("-f", str(file))]
        return _run([*_compose_command(), *files, *arguments], **self._variables)

    def id(self, service: str) -> str:
        """The id of the service's container."""
        if service not in self._ids:
            self._ids[service] = self.compose("ps", "-a", "-q", service)
        return self._ids[service]

    def prepare(self) -> None:
        """Fills the catalogue with the sample by the pipelines image, as `demo.prepare` does with processes."""
        self.compose("run", "--rm", "pipelines", "bootstrap", "--gateway", "http://gateway:8000", "--topics", "/artefacts/topics.json")

    def start(self, *services: str) -> None:
        if services:
            docker("start", *(self.id(service) for service in services))
        else:
            self.compose("up", "-d", *SERVICES)

    def wait_ready(self, *services: str, timeout_s: float = 120) -> None:
        ends = time.monotonic() + timeout_s
        for service in services or SERVICES:
            while not self._is_ready(service):
                if docker("inspect", "-f", "{{.State.Running}}", self.id(service)) == "false":
                    raise SuiteFailed(f"{service} ended:\n{self._log_tail(service)}")
                if time.monotonic() > ends:
                    raise SuiteFailed(f"{service} was not ready within {timeout_s:.0f} s:\n{self._log_tail(service)}")
                time.sleep(0.05)

    def log_text(self, service: str) -> str:
        """All that the service's container has written."""
        done = subprocess.run(["docker", "logs", self.id(service)], capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    def _log_tail(self, service: str) -> str:
        return "\n".join(self.log_text(service).splitlines()[-15:])

    def signal(self, service: str, number: int) -> None:
        docker("kill", "-s", str(number), self.id(service))
        if number == signal.SIGKILL:
            self.wait(service)

    def wait(self, service: str, timeout_s: float = 30) -> int:
        """The exit status of a service that was told to end."""
        done = subprocess.run(["docker", "wait", self.id(service)], capture_output=True, text=True, check=True, timeout=timeout_s)
        return int(done.stdout)

    @contextmanager
    def rolling(self, proxy_image: str) -> Iterator[Balancer]:
        """Two gateways, encoders and expanders behind a balancer inside, with the same state; one of each after."""
        public, statistics = free_ports(2)
        self._files = (COMPOSE_FILE, ROLLING_FILE, PUBLISHED)
        self._variables |= {"PROXY_IMAGE": proxy_image, "PROXY_PORT": str(public), "PROXY_STATISTICS_PORT": str(statistics)}
        self._ids.clear()
        balancer = Balancer(public, statistics)
        try:
            self.compose("up", "-d", *SERVICES, *SECONDS_OF_THEM, "proxy")
            balancer.wait_up()
            yield balancer
        finally:
            self.compose("rm", "-s", "-f", "proxy", *SECONDS_OF_THEM)
            self._files = (COMPOSE_FILE, PUBLISHED)
            self._ids.clear()
            self.compose("up", "-d", *SERVICES)
            self.wait_ready()

    def stop(self) -> None:
        """SIGTERM to all, and nothing of the project stays."""
        for service in SERVICES:
            subprocess.run(["docker", "kill", "-s", "CONT", self.id(service)], capture_output=True, check=False)
        self.compose("down", "-v", "--remove-orphans", "-t", "25")
