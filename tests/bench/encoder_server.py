"""The encoder as a process of its own, and requests for it. Knows its API and its process, not its insides."""

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from tests.bench.encoder_models import Model
from tests.bench.retriever_load import Load, Outcome

from contracts.encoder import BINARY_MEDIA_TYPE, DIMENSION_HEADER
from pipelines.suite import Suite

JSON_MEDIA_TYPE = "application/json"


def post(path: str, body: bytes, **headers: str) -> bytes:
    """A whole request with a JSON body."""
    lines = [f"POST {path} HTTP/1.1", "host: 127.0.0.1", f"content-type: {JSON_MEDIA_TYPE}", f"content-length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "\r\n"]).encode() + body


def embed_requests(texts: Sequence[str], size: int = 1, accept: str = BINARY_MEDIA_TYPE, **headers: str) -> list[bytes]:
    """All `texts` once, `size` in a request."""
    parts = [texts[at : at + size] for at in range(0, len(texts), size)]
    return [post("/v1/embed", json.dumps({"texts": part}).encode(), accept=accept, **headers) for part in parts]


def embeddings(outcome: Outcome, size: int, count: int) -> NDArray[np.float32]:
    """`(count, dim)` in the order of the texts; raises `EncoderAnswered` when a request was not answered 200."""
    parts: dict[int, NDArray[np.float32]] = {}
    for answer in outcome.answers:
        if answer.status != 200:
            raise EncoderAnswered(outcome.refused()[0])
        dimension = int(answer.head.split(f"\r\n{DIMENSION_HEADER}: ".encode(), 1)[1].split(b"\r\n", 1)[0])
        parts[answer.place] = np.frombuffer(answer.body, "<f4").reshape(-1, dimension)
    rows: NDArray[np.float32] = np.concatenate([parts[place] for place in range(-(-count // size))])
    return rows


class EncoderAnswered(Exception):
    """An answer that is not 200, where the benchmark needs one."""


class Server:
    """An encoder that serves `model`; a context manager. `settings` are its environment variables without the prefix."""

    def __init__(self, state: Path, model: Model, **settings: str | int) -> None:
        own = {f"ENCODER_{name.upper()}": str(value) for name, value in settings.items()}
        self.folder = state / f"server-{model.name.replace(' ', '-')}"
        self._suite = Suite(self.folder, model.environment() | own)
        self.ready_s = 0.0

    @property
    def port(self) -> int:
        return self._suite.ports["encoder"]

    @property
    def pid(self) -> int:
        return self._suite.pid("encoder")

    def __enter__(self) -> Self:
        started = time.perf_counter()
        self._suite.start("encoder")
        try:
            self._suite.wait_ready("encoder", timeout_s=600)
        except BaseException:
            self._suite.stop()
            raise
        self.ready_s = time.perf_counter() - started
        return self

    def __exit__(self, *_: Any) -> None:
        self._suite.stop()

    def ask(self, texts: Sequence[str], size: int = 1, connections: int = 1) -> NDArray[np.float32]:
        """Embeddings `(len(texts), dim)`."""
        with Load(self.port, connections) as load:
            return embeddings(load.closed(embed_requests(texts, size)), size, len(texts))

    def cpu_s(self) -> float:
        """Processor time that the service has taken."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> dict[str, int]:
        """Resident bytes, and those of them that are no page of a file."""
        rows = dict(line.split(":", 1) for line in Path(f"/proc/{self.pid}/status").read_text().splitlines())
        resident, anonymous = (1_024 * int(rows[name].split()[0]) for name in ("VmRSS", "RssAnon"))
        return {"resident": resident, "anonymous": anonymous}
