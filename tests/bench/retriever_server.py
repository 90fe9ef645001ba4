"""The retriever as a process of its own, filled over HTTP as its users would fill it. Knows its API and its process, not its insides."""

import base64
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
from tests.bench.retriever_dataset import Dataset, Floats, K, Rows
from tests.bench.retriever_load import Load, Outcome, request

from pipelines.suite import Suite

FINGERPRINT = "bench-minilm-like/384"
LINES = "application/x-ndjson"
PORTION = 20_000
"""Items in a body: about 45 MB."""
CONTENT = "content"


def encoded(vectors: Floats) -> str:
    return base64.b64encode(np.ascontiguousarray(vectors, "<f4").tobytes()).decode("ascii")


def lines(items: Sequence[dict[str, Any]], vectors: Floats) -> bytes:
    """The items with their embeddings, one a line."""
    pairs = zip(items, vectors, strict=True)
    return b"".join(json.dumps({"item": item, "embedding": encoded(vector)}).encode() + b"\n" for item, vector in pairs)


def put_request(body: bytes) -> bytes:
    return request("PUT", f"/v1/items?fingerprint={FINGERPRINT}", body, LINES)


def search_request(vectors: Floats, **more: Any) -> bytes:
    """One search for the nearest ten of each of `vectors`."""
    space = more.pop("space", CONTENT)
    asked = {"searches": [{"space": space, "embeddings": encoded(vectors)}], "k": K, **more}
    return request("POST", "/v1/search", json.dumps(asked, separators=(",", ":")).encode())


def searches(queries: Floats, batch: int, **more: Any) -> list[bytes]:
    """All `queries`, `batch` in a request."""
    return [search_request(queries[at : at + batch], **more) for at in range(0, len(queries), batch)]


def found(outcome: Outcome, batch: int, count: int) -> Rows:
    """Rows `(count, 10)` that the answers to `searches` name, -1 where fewer were found or an item was added meanwhile."""
    rows: Rows = np.full((count, K), -1, np.int64)
    for answer in outcome.answers:
        if answer.status != 200:
            raise ServerRefused(outcome.refused()[0])
        for result in json.loads(answer.body)["results"]:
            names = [hit["id"] for hit in result["hits"]]
            place = answer.place * batch + result["row"]
            rows[place, : len(names)] = [int(name[1:]) if name[0] == "i" else -1 for name in names]
    return rows


class ServerRefused(Exception):
    """An answer that is not 200, where the benchmark needs one."""


class Server:
    """A retriever with its state in `folder`; a context manager. `settings` are its environment variables without the prefix."""

    def __init__(self, folder: Path, **settings: str | int) -> None:
        self._suite = Suite(folder, {f"RETRIEVER_{name.upper()}": str(value) for name, value in settings.items()})
        self.folder, self.ready_s = folder, 0.0

    @property
    def port(self) -> int:
        return self._suite.ports["retriever"]

    @property
    def pid(self) -> int:
        return self._suite.pid("retriever")

    def __enter__(self) -> Self:
        started = time.perf_counter()
        self._suite.start("retriever")
        try:
            self._suite.wait_ready("retriever", timeout_s=600)
        except BaseException:
            self._suite.stop()
            raise
        self.ready_s = time.perf_counter() - started
        return self

    def __exit__(self, *_: Any) -> None:
        self._suite.stop()

    def call(self, method: str, path: str, body: Any = None, *, also: Sequence[int] = ()) -> Any:
        """The parsed answer; raises ServerRefused for a status that is neither 2xx nor in `also`."""
        with Load(self.port, 1) as load:
            encoded_body = b"" if body is None else json.dumps(body).encode()
            answer = load.closed([request(method, path, encoded_body)]).answers[0]
        if not 200 <= answer.status < 300 and answer.status not in also:
            raise ServerRefused(f"{method} {path}: {answer.status} {answer.body[:500].decode(errors='replace')}")
        return json.loads(answer.body) if answer.body else None

    def space(self, name: str = "") -> dict[str, Any]:
        """The state of the named vector space, or of the one with the role content."""
        spaces: list[dict[str, Any]] = self.call("GET", "/v1/spaces")
        return next(one for one in spaces if (one["name"] == name if name else one.get("role") == CONTENT))

    def merge(self, name: str = "", timeout_s: float = 3_600) -> float:
        """Seconds until all of the space is one segment without dead rows."""
        started, own = time.perf_counter(), self.space(name)["name"]
        self.call("POST", f"/v1/spaces/{own}/merge")
        while True:
            state = self.space(own)
            if whole_of(state):
                return time.perf_counter() - started
            if time.perf_counter() - started > timeout_s:
                raise ServerRefused(f"The space {own!r} was not merged within {timeout_s:.0f} s: {state}.")
            time.sleep(0.25)

    def settle(self, quiet_s: float = 2.0) -> None:
        """Returns once nothing has been built for a while."""
        last, since = self.space(), time.perf_counter()
        while time.perf_counter() - since < quiet_s:
            time.sleep(0.25)
            if (state := self.space()) != last:
                last, since = state, time.perf_counter()

    def ask(self, queries: Floats, batch: int = 1, connections: int = 1, **more: Any) -> tuple[Outcome, Rows]:
        """All `queries` once; what was answered, and the rows found."""
        with Load(self.port, connections) as load:
            outcome = load.closed(searches(queries, batch, **more))
        return outcome, found(outcome, batch, len(queries))

    def cpu_s(self) -> float:
        """Processor time that the service has taken, without its children."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> dict[str, int]:
        """Resident bytes of the service and of its children; `anonymous`: what is no page of a file."""
        own = _resident(self.pid)
        children = [_resident(child) for child in descendants(self.pid)]
        return {
            "service": own["Rss"],
            "anonymous": own["Anonymous"],
            "children": sum(child["Rss"] for child in children),
            "children_anonymous": sum(child["Anonymous"] for child in children),
        }


def whole_of(state: dict[str, Any]) -> bool:
    """Whether all vectors of a space are in one segment, without dead ones."""
    return state["segments"] == 1 and not state["unsealed"] and not state["dead"]


def _resident(pid: int) -> dict[str, int]:
    try:
        rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    except (FileNotFoundError, ProcessLookupError):  # it ended
        return {"Rss": 0, "Anonymous": 0}
    return {name.rstrip(":"): 1_024 * int(size) for name, size, *_ in map(str.split, rows)}


def descendants(pid: int) -> Iterator[int]:
    """The processes below `pid`."""
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            yield child
            yield from descendants(child)


def bodies(data: Dataset) -> list[Path]:
    """Files with the requests that import the items; rendered once, so that rendering costs the import nothing."""
    folder = data.state / "bodies"
    folder.mkdir(exist_ok=True)
    paths = []
    for start in range(0, data.rows, PORTION):
        stop = min(start + PORTION, data.rows)
        path = folder / f"{data.rows}-{start}.http"
        if not path.exists():
            aside = path.with_suffix(".part")
            aside.write_bytes(put_request(lines(list(data.items(start, stop)), data.vectors[start:stop])))
            aside.rename(path)
        paths.append(path)
    return paths


@contextmanager
def filled(data: Dataset, **settings: str | int) -> Iterator[Server]:
    """A server over the items of `data`, all in one segment; imported when no run before has done so."""
    folder = data.state / f"server-{data.rows}"
    whole = folder / "whole"
    with Server(folder, **settings) as server:
        if not whole.exists():
            with Load(server.port, 1) as load:
                for path in bodies(data):
                    if (outcome := load.closed([path.read_bytes()])).answers[0].status != 200:
                        raise ServerRefused(outcome.refused()[0])
            server.settle()
            whole.touch()
        if not whole_of(server.space()):
            server.merge()
            server.settle()
        yield server
