"""A real vLLM on this machine's processors that serves the tiny Llama, to be asked, hung, killed and started again.

It is started as the pods start it, by `python -m expander.runtimes serve --profile cpu`, from an environment of its own
(`make .venv-vllm/installed`). Knows nothing of the expander's service.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import httpx2
from prometheus_client.parser import text_string_to_metric_families
from tests.fixtures.llm import tiny_llama

from pipelines.suite import free_ports

ENVIRONMENT = Path(__file__).parents[2] / ".venv-vllm"
MODEL = "tiny"
START_S = 280
"""A start takes half a minute on two idle cores."""
STOP_S = 20


class VllmFailed(Exception):
    """vLLM ended or did not become ready; the message holds the end of its log."""


def installed() -> bool:
    return (ENVIRONMENT / "bin" / "vllm").exists()


class Server:
    """vLLM on a free port of 127.0.0.1, the same for each start; a context manager. `options` are those of `runtimes serve`."""

    def __init__(self, folder: Path, **options: int | str) -> None:
        [self.port] = free_ports(1)
        self._folder, self._options = folder, options
        self._process: subprocess.Popen[bytes] | None = None
        self.ready_s = 0.0
        """Seconds from the last start until it was ready."""

    @property
    def url(self) -> str:
        """Of its OpenAI-compatible API."""
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> Self:
        try:
            self.start()
            self.wait_ready()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *_: Any) -> None:
        self.stop()

    def start(self) -> None:
        """Returns at once."""
        model = self._folder / "model"
        if not model.exists():
            tiny_llama.write(model)
        told = {"served-name": MODEL, "host": "127.0.0.1", "port": self.port, "max-num-seqs": 4, **self._options}
        line = [sys.executable, "-m", "expander.runtimes", "serve", "--profile", "cpu", "--model-path", str(model)]
        line += [part for name, value in told.items() for part in (f"--{name.replace('_', '-')}", str(value))]
        environment = {
            **os.environ,
            "PATH": f"{ENVIRONMENT / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "VLLM_CACHE_ROOT": str(self._folder / "cache"),
        }
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(line, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        self._started = time.perf_counter()

    def wait_ready(self, timeout_s: float = START_S) -> None:
        """Returns when it serves its model; raises `VllmFailed`."""
        until = time.monotonic() + timeout_s
        while not self.ready():
            if self._process is None or self._process.poll() is not None or time.monotonic() > until:
                raise VllmFailed("vLLM is not ready; its log ends with:\n" + self._log.read_text(errors="replace")[-4_000:])
            time.sleep(0.2)
        self.ready_s = time.perf_counter() - self._started

    def ready(self) -> bool:
        """Whether it serves its model now."""
        try:
            return httpx2.get(f"{self.url}/models", timeout=5).status_code == 200
        except httpx2.TransportError:
            return False

    def stop(self) -> None:
        """Ends it and all its processes; told first, killed after 20 seconds."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_S)
        self.kill()

    def kill(self) -> None:
        """As when the machine loses power: no process of it gets to do anything more."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    @contextlib.contextmanager
    def hanging(self) -> Iterator[None]:
        """What computes stands still meanwhile, as when a device hangs; the HTTP server does not."""
        workers = self._workers()
        if not workers:
            raise VllmFailed("vLLM has no process that computes")
        try:
            for worker in workers:
                os.kill(worker, signal.SIGSTOP)
            yield
        finally:
            for worker in workers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker, signal.SIGCONT)

    def value(self, name: str, **labels: str) -> float:
        """Of a metric: the sum of its samples with these labels."""
        return metric(self.metrics(), name, **labels)

    def metrics(self) -> str:
        """As Prometheus would read them."""
        return httpx2.get(f"http://127.0.0.1:{self.port}/metrics", timeout=10).raise_for_status().text

    def resident_bytes(self) -> int:
        """Memory of all its processes; pages that they share count for each."""
        rows = [dict(line.split(":", 1) for line in status.splitlines() if ":" in line) for _, status in self._statuses()]
        return sum(1_024 * int(row["VmRSS"].split()[0]) for row in rows if "VmRSS" in row)

    @property
    def _log(self) -> Path:
        return self._folder / "vllm.log"

    def _workers(self) -> list[int]:
        return [process for process, status in self._statuses() if status.startswith("Name:\tVLLM::Worker")]

    def _statuses(self) -> Iterator[tuple[int, str]]:
        """Number and /proc status of each of its processes."""
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError, ValueError):
                if self._process is not None and os.getpgid(int(entry.name)) == self._process.pid:
                    yield int(entry.name), (entry / "status").read_text()


def metric(text: str, name: str, **labels: str) -> float:
    """The sum of the samples called `name` with these labels in `text`, as Prometheus reads it; raises `KeyError` when there is none."""
    found = [
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    if not found:
        raise KeyError(f"{name} {labels or ''} is not among the metrics")
    return sum(found)
