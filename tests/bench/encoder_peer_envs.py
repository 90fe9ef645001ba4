"""Environments of other encoders under the state folder, and the processes in them. Knows what they are installed from, not what is timed.

None of it enters the project's lock, and nothing is fetched while it runs: models are given as folders.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import httpx2

from encoder import cpus
from pipelines.suite import free_ports
from servicekit.settings import environment_with

PACKAGES: Mapping[str, tuple[str, ...]] = {"sentence-transformers": ("sentence-transformers",), "infinity": ("infinity-emb[torch,server]",)}
TORCH = "torch"
"""Installed by name before anything that needs it, so that pip may take a CPU build that lies at hand."""
OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "DO_NOT_TRACK": "1",
    "INFINITY_ANONYMOUS_USAGE_STATS": "0",
    "TOKENIZERS_PARALLELISM": "false",
}
READY_S = 180.0
SERVED_AS = "minilm"


class PeerFailed(Exception):
    """Another encoder could not be installed or did not answer; the message is its reason."""


def python(name: str, state: Path) -> Path:
    """The Python of the peer's environment, which is installed once."""
    folder = state / "encoder-peers" / name
    found, marked = folder / "bin" / "python", folder / "installed"
    if not marked.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        for packages in ((TORCH,), PACKAGES[name]):
            done = subprocess.run([str(found), "-m", "pip", "install", "--quiet", *packages], capture_output=True, text=True)
            if done.returncode:
                raise PeerFailed("pip: " + (done.stderr.strip().splitlines() or ["no reason given"])[-1])
        marked.touch()
    return found


def version(name: str, package: str, state: Path) -> str:
    command = [str(python(name, state)), "-c", f"from importlib.metadata import version; print(version({package!r}))"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


class Worker:
    """A process of `encoder_peer_worker` in the environment of sentence-transformers; a context manager."""

    def __init__(self, state: Path, kind: str, argument: str = "") -> None:
        script = Path(__file__).with_name("encoder_peer_worker.py")
        self._log = (state / "encoder-peers" / f"{kind}.log").open("wb")
        self._process = subprocess.Popen(
            [str(python("sentence-transformers", state)), "-W", "ignore", str(script), kind, argument],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=environment_with(**OFFLINE),
        )
        self.version: str = self._read()["version"]

    def ask(self, **question: Any) -> dict[str, Any]:
        """The answer; raises `PeerFailed`."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(question).encode() + b"\n")
        self._process.stdin.flush()
        answer = self._read()
        if "failed" in answer:
            raise PeerFailed(answer["failed"])
        return answer

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        if not (line := self._process.stdout.readline()):
            raise PeerFailed("the worker ended: " + " ".join(Path(self._log.name).read_text().split())[-300:])
        answer: dict[str, Any] = json.loads(line)
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._log.close()


@contextmanager
def infinity(state: Path, folder: Path, *options: str) -> Iterator[int]:
    """The port of an Infinity that serves the model in `folder` on this CPU; raises `PeerFailed`."""
    (port,) = free_ports(1)
    found = python("infinity", state).with_name("infinity_emb")
    own = {"model-id": folder, "served-model-name": SERVED_AS, "device": "cpu", "host": "127.0.0.1", "port": port}
    command = [str(found), "v2", *(part for name, value in own.items() for part in (f"--{name}", str(value))), *options]
    log = state / "encoder-peers" / "infinity.log"
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(cpus.available()))  # whatever this process was started with
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment_with(**OFFLINE, **threads))
    try:
        _wait(port, process, log)
        yield port
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    ends = time.monotonic() + READY_S
    while True:
        if process.poll() is not None or time.monotonic() > ends:
            raise PeerFailed("Infinity did not start: " + " ".join(log.read_text(errors="replace").split())[-300:])
        try:
            if httpx2.get(f"http://127.0.0.1:{port}/health", timeout=2, trust_env=False).status_code == 200:
                return
        except httpx2.TransportError:
            pass
        time.sleep(0.2)
