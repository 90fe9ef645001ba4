"""Servers that the sweep starts itself, one after the other, through `python -m expander.runtimes serve`. Knows nothing of requests."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx2

from pipelines.plan import profiles
from pipelines.plan.facts import PlanRefused
from pipelines.suite import free_ports
from pipelines.sweep import endpoints
from pipelines.sweep.endpoints import Endpoint
from pipelines.sweep.faults import ServerNotStarted, SweepRefused
from servicekit.settings import environment_with

CORES = {"aws.amazon.com/neuron": "NeuronCore", "nvidia.com/gpu": "GPU", "": "CPU core"}
STOP_S = 30.0
POLL_S = 0.5
TAIL = 15


@dataclass(frozen=True)
class Server:
    """One server to start: its command line, where it will answer, and where its output goes."""

    endpoint: Endpoint
    line: tuple[str, ...]
    log: Path
    start_s: float

    @contextmanager
    def running(self) -> Iterator[None]:
        """The server answers inside and is gone after, with all its workers; raises `ServerNotStarted`."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as output:
            child = subprocess.Popen(self.line, env=environment_with(), stdout=output, stderr=output, start_new_session=True)
        try:
            self._wait(child)
            yield
        finally:
            _stop(child)

    def _wait(self, child: "subprocess.Popen[bytes]") -> None:
        ends = time.monotonic() + self.start_s
        while not _lists_models(self.endpoint.url):
            if (status := child.poll()) is not None:
                raise ServerNotStarted(f"{self.endpoint.name} ended with status {status} before it was ready:\n{self._end_of_log()}")
            if time.monotonic() > ends:
                raise ServerNotStarted(f"{self.endpoint.name} was not ready within --start-s {self.start_s:g}:\n{self._end_of_log()}")
            time.sleep(POLL_S)

    def _end_of_log(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-TAIL:])


def servers(
    profile: str, model_path: Path, sizes: Sequence[int], extra: str, instance: str | None, *, logs: Path, start_s: float
) -> tuple[Server, ...]:
    """One for each tensor-parallel size; raises `SweepRefused` for what the chart's table of profiles says can not work."""
    try:
        rows = profiles.read()
    except PlanRefused as refused:
        raise SweepRefused(f"--profile {profile} can not be looked up: {refused}") from None
    if profile not in rows or not rows[profile]["has_pod"]:
        known = ", ".join(name for name, row in rows.items() if row["has_pod"])
        raise SweepRefused(f"--profile {profile} starts no server. Known: {known}; or name a running one by --endpoint.")
    row = rows[profile]
    if bad := [size for size in sizes if str(size) not in row["shapes"]]:
        raise SweepRefused(f"--tensor-parallel {bad[0]} is not legal on {profile}. Choose of {', '.join(row['shapes'])}.")
    if not (model_path / "config.json").is_file():
        raise SweepRefused(f"--model-path {model_path} holds no config.json. Put the model's files there.")
    model, made = model_path.resolve(), []
    for size, port in zip(dict.fromkeys(sizes), free_ports(len(dict.fromkeys(sizes))), strict=True):
        devices, core = row["shapes"][str(size)]["devices"], CORES.get(row["device_resource"], "core")
        cores = float(size if devices else len(os.sched_getaffinity(0)))
        price, source = endpoints.share(instance, devices, cores, "--instance") if instance else (None, "")
        name = f"{model.name} {profile} TP {size}"
        at = Endpoint(name, f"http://127.0.0.1:{port}/v1", model.name, size, cores, core, price, source)
        made.append(Server(at, _line(profile, model, size, port, extra), logs / f"{profile}-{size}.log", start_s))
    return tuple(made)


def _line(profile: str, model: Path, size: int, port: int, extra: str) -> tuple[str, ...]:
    serve = (sys.executable, "-m", "expander.runtimes", "serve", "--profile", profile, "--model-path", str(model))
    own = ("--served-name", model.name, "--tensor-parallel-size", str(size), "--host", "127.0.0.1", "--port", str(port))
    return (*serve, *own, *shlex.split(extra))


def _lists_models(url: str) -> bool:
    try:
        return httpx2.get(url + "/models", timeout=5, trust_env=False).status_code == 200
    except httpx2.TransportError:
        return False


def _stop(child: "subprocess.Popen[bytes]") -> None:
    """SIGTERM, which vLLM ends its workers by; SIGKILL to all of its group after 30 seconds, and to what is left of it."""
    if child.poll() is None:
        child.terminate()
        with suppress(subprocess.TimeoutExpired):
            child.wait(STOP_S)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
