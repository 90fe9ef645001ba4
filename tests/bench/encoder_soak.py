"""Minutes of everything at once, and the memory of the service meanwhile: `python -m tests.bench.encoder_soak --seconds 600`.

Single texts and batches, both priorities, both forms of answers, long texts, requests that are refused as unfit, callers that leave before
the answer, deadlines that pass. Knows nothing of what the service does with them.
"""

import argparse
import json
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tests.bench import encoder_texts
from tests.bench.encoder_models import Model, minilm
from tests.bench.encoder_server import JSON_MEDIA_TYPE, Server, embed_requests, post
from tests.bench.retriever_load import Connection

CALLERS = 8
SETTLED = 0.3
"""Of the time after which memory must be flat: threads, arenas and the store of recent passages have been filled by then."""
FLAT = 0.02
"""Of the memory, that a line through the rest of the samples may rise by from its beginning to its end."""
FLAT_BYTES = 8 * 2**20
RECENT_BYTES = 4 * 2**20
"""For the store of recent passages: little, so that it is full before memory must be flat."""
ANSWER_S = 60.0
BROKEN = (b"{", b'{"texts": []}', b'{"texts": [1]}', b'{"texts": ["\\ud800"]}', b'{"texts": ["\xff"]}', b'{"texts": ["a"], "x": 1}')


class Traffic:
    """Callers with one connection at a time each; `statuses` counts what they were answered, -1 for a connection that broke."""

    def __init__(self, port: int, seed: int) -> None:
        self.port, self.statuses = port, Counter[int]()
        self._ends = threading.Event()
        self._texts = encoder_texts.catalogue(4_000)
        self._lock = threading.Lock()
        self._team = [threading.Thread(target=self._call, args=(random.Random(seed + number),)) for number in range(CALLERS)]

    def __enter__(self) -> "Traffic":
        for thread in self._team:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        for thread in self._team:
            thread.join()

    def _call(self, drawn: random.Random) -> None:
        while not self._ends.is_set():
            whole, stays = self._request(drawn)
            try:
                status = answered(self.port, whole) if stays else left(self.port, whole, drawn)
            except OSError:
                status = -1
            with self._lock:
                self.statuses[status] += 1

    def _request(self, drawn: random.Random) -> tuple[bytes, bool]:
        """Bytes to send, and whether the answer is waited for."""
        kind = drawn.random()
        if kind < 0.05:
            return post("/v1/embed", drawn.choice(BROKEN)), True
        if kind < 0.07:
            return post("/v1/embed", json.dumps({"texts": ["x" * 1_000_000]}).encode()), True
        texts = drawn.sample(self._texts, drawn.choice((1, 1, 1, 2, 8, 32)))
        if kind < 0.12:
            texts = [" ".join(drawn.sample(self._texts, 12))]  # longer than the model reads
        if kind < 0.5:
            texts = [f"{text} {drawn.random()}" for text in texts]  # never seen
        accept = {"accept": JSON_MEDIA_TYPE} if drawn.random() < 0.3 else {}
        headers = {"x_priority": "bulk"} if len(texts) > 8 else {}
        headers |= {"x_deadline_ms": "5"} if drawn.random() < 0.03 else {}
        return embed_requests(texts, len(texts), **accept, **headers)[0], drawn.random() > 0.05


def answered(port: int, whole: bytes) -> int:
    """The status of the answer, read to its end."""
    connection = Connection(port)
    with connection.socket:
        connection.socket.setblocking(True)
        connection.socket.settimeout(ANSWER_S)
        connection.ask(0, 0.0, whole)
        while (answer := connection.receive()) is None:
            pass
        return answer[0]


def left(port: int, whole: bytes, drawn: random.Random) -> int:
    """0: the caller went away before the answer, in half of the cases before all was sent."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(whole if drawn.random() < 0.5 else whole[: len(whole) // 2])
        time.sleep(drawn.random() * 0.02)
    return 0


def watched(server: Server, seconds: float, every_s: float) -> list[dict[str, float]]:
    """Seconds since the beginning and bytes, sampled."""
    started, samples = time.perf_counter(), []
    while (at := time.perf_counter() - started) < seconds:
        samples.append({"at": at, **server.memory()})
        time.sleep(every_s)
    return samples


def risen(samples: list[dict[str, float]], name: str = "anonymous") -> tuple[float, float]:
    """Bytes by which a line through the settled samples rises, and their median."""
    settled = [one for one in samples if one["at"] >= SETTLED * samples[-1]["at"]]
    at, held = np.array([one["at"] for one in settled]), np.array([one[name] for one in settled])
    return float(np.polyfit(at, held, 1)[0] * (at[-1] - at[0])), float(np.median(held))


def measure(model: Model, state: Path, seconds: float, say: Callable[[str], Any] = print) -> dict[str, Any]:
    """Memory and answers; `flat` when it rises by no more than a fiftieth or 8 MiB, whichever is more."""
    with Server(state, model, recent_bytes=RECENT_BYTES) as server:
        with Traffic(server.port, 9) as traffic:
            samples = watched(server, seconds, max(0.1, seconds / 600))
        rise, held = risen(samples)
        alive = answered(server.port, embed_requests(["still there"])[0])
    told: dict[str, Any] = {
        "model": model.name,
        "seconds": seconds,
        "risen": rise,
        "held": held,
        "first": samples[0]["anonymous"],
        "last": samples[-1]["anonymous"],
        "most_resident": max(one["resident"] for one in samples),
        "flat": rise <= max(FLAT * held, FLAT_BYTES),
        "alive": alive == 200,
        "statuses": statuses(traffic.statuses),
    }
    say(f"  {told}")
    return told


def statuses(counted: Mapping[int, int]) -> dict[str, int]:
    names = {0: "left before the answer", -1: "connection broke"}
    return {names.get(status, str(status)): count for status, count in sorted(counted.items())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", type=Path, default=Path(".warmstart-bench"))
    parser.add_argument("--seconds", type=float, default=600)
    chosen = parser.parse_args()
    told = measure(minilm(), chosen.state.resolve(), chosen.seconds)
    raise SystemExit(0 if told["flat"] and told["alive"] else 1)


if __name__ == "__main__":
    main()
