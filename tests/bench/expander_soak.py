"""Minutes of everything at once, and what the expander holds meanwhile: `python -m tests.bench.expander_soak --seconds 600`.

Two hundred requests a second at random instants: kept and new interests in all modes, histories, answers of the LLM that are unusable or
wrapped in prose, batches ahead of traffic, erasures, requests that are refused as unfit, deadlines that pass; and beside them callers that
leave before the answer, and an LLM that dies and comes back. Knows nothing of what the service does with them.
"""

import argparse
import json
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.bench.encoder_soak import risen
from tests.bench.expander_server import Expander, Llm, expand_request, interests
from tests.bench.retriever_load import Load, request

RATE = 200.0
CONNECTIONS = 160
KEPT = 500
LATENCY_S = 0.1
SETTINGS: dict[str, Any] = {
    "cache_size": 1_000,  # soon full, so that memory must be flat from then on
    "cache_ttl_s": 20.0,  # so that entries are made anew behind answers
    "llm_limits": {"concurrency": 32, "timeout_s": 5.0},
}
QUIET_S = 8.0
"""After the load: longer than a call of the LLM may take."""
DOWN_S = 2.0
FLAT = 0.02
FLAT_BYTES = 8 * 2**20
"""As for the encoder: what a line through the settled samples may rise by."""
SLACK = {"tasks": 3, "files": 32 + 8, "threads": 8}
"""What may be left beyond the beginning: a connection for each call of the LLM that may run, kept for a minute, and threads, which stay."""
BROKEN = (b"{", b'{"interests": []}', b'{"interests": [1]}', b'{"interests": ["\\ud800"]}', b'{"interests": ["a"], "x": 1}', b"\xff")


def mixed(count: int, seed: int) -> list[bytes]:
    """Requests in the shares of each kind."""
    drawn, kept, new = random.Random(seed), interests(KEPT, "kept"), iter(interests(count, "new"))
    requests = []
    for _ in range(count):
        kind, mode = drawn.random(), drawn.choice(("wait", "async", "async", "off"))
        user = {"user_id": f"reader-{drawn.randrange(200)}"} if drawn.random() < 0.3 else {}
        if kind < 0.6:
            requests.append(expand_request(drawn.choice(kept), mode, 2_000, **user))
        elif kind < 0.75:
            requests.append(expand_request(next(new), mode, drawn.choice((30, 300, 2_000)), **user))
        elif kind < 0.85:
            requests.append(expand_request(f"{next(new)} {drawn.choice(('unusable', 'wrapped'))}", mode, 2_000, **user))
        elif kind < 0.92:
            requests.append(expand_request(next(new), mode, 2_000, history=history(drawn), **user))
        elif kind < 0.95:
            requests.append(request("DELETE", f"/v1/users/reader-{drawn.randrange(200)}/expansions"))
        elif kind < 0.96:
            body = {"interests": [next(new) for _ in range(10)], "deadline_ms": 1_000}
            requests.append(request("POST", "/v1/expansions:precompute", json.dumps(body).encode()))
        elif kind < 0.98:
            requests.append(request("POST", "/v1/expand", drawn.choice(BROKEN)))
        else:
            requests.append(request("GET", drawn.choice(("/metrics", "/readyz", "/v1/backend", "/v1/none"))))
    return requests


def history(drawn: random.Random) -> list[dict[str, Any]]:
    """Up to 200 items, some with long reviews."""
    return [
        {"title": f"The Book of {drawn.random()}", "stars": drawn.randrange(6), "review": "moving and slow " * drawn.choice((0, 5, 200))}
        for _ in range(drawn.choice((1, 5, 20, 200)))
    ]


class Beside:
    """A thread that does something again and again until the context ends."""

    def __init__(self, work: Callable[[threading.Event], Any]) -> None:
        self._work, self._ends = work, threading.Event()
        self._failures: list[BaseException] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        """Raises at the end what the work raised."""
        thread = threading.Thread(target=self._run)
        thread.start()
        try:
            yield
        finally:
            self._ends.set()
            thread.join()
        if self._failures:
            raise self._failures[0]

    def _run(self) -> None:
        try:
            while not self._ends.is_set():
                self._work(self._ends)
        except Exception as error:  # it is raised where the context ends
            self._failures.append(error)


def left(port: int, drawn: random.Random) -> Callable[[threading.Event], None]:
    """A caller goes away before the answer, in half of the cases before all was sent."""

    def leave(ends: threading.Event) -> None:
        whole = expand_request(f"left {drawn.randrange(10**6)}", drawn.choice(("wait", "async")), 2_000)
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(whole if drawn.random() < 0.5 else whole[: len(whole) // 2])
            time.sleep(0.02 * drawn.random())
        ends.wait(0.2)

    return leave


def dying(llm: Llm, every_s: float) -> Callable[[threading.Event], None]:
    """The LLM is killed and comes back two seconds later."""

    def die(ends: threading.Event) -> None:
        if not ends.wait(every_s):
            llm.kill()
            ends.wait(DOWN_S)
            llm.start()

    return die


def sampling(expander: Expander, samples: list[dict[str, float]], every_s: float) -> Callable[[threading.Event], None]:
    started = time.perf_counter()

    def sample(ends: threading.Event) -> None:
        samples.append({"at": time.perf_counter() - started, **expander.memory(), **expander.held()})
        ends.wait(every_s)

    return sample


def quiet(expander: Expander, begun: dict[str, int], within_s: float) -> dict[str, int]:
    """What is still held once nobody asks any more: as soon as it is no more than at the beginning, at last after `within_s`."""
    ends = time.monotonic() + within_s
    while True:
        held = expander.held()
        if time.monotonic() > ends or all(held[name] <= begun[name] + more for name, more in SLACK.items()):
            return held
        time.sleep(0.2)


def measure(state: Path, seconds: float, rate: float = RATE, say: Callable[[str], Any] = print) -> dict[str, Any]:
    """Memory, and tasks, open files and threads before, during and after."""
    samples: list[dict[str, float]] = []
    drawn = random.Random(7)
    with Llm(latency_s=LATENCY_S) as llm, Expander(state / "expander-soak", llm.url, **SETTINGS) as expander:
        expander.precompute(interests(KEPT, "kept"))
        begun = expander.held()
        beside = (left(expander.port, drawn), dying(llm, max(3.0, seconds / 20)), sampling(expander, samples, max(0.1, seconds / 600)))
        with (
            Beside(beside[0]).running(),
            Beside(beside[1]).running(),
            Beside(beside[2]).running(),
            Load(expander.port, CONNECTIONS, keep=False) as load,
        ):
            outcome = load.paced(mixed(round(rate * seconds), 5), rate, seconds)
        ended = quiet(expander, begun, QUIET_S)
        rise, middle = risen(samples)
        told: dict[str, Any] = {
            "seconds": seconds,
            "per_s": len(outcome.answers) / outcome.seconds,
            "statuses": {str(status): count for status, count in sorted(Counter(a.status for a in outcome.answers).items())},
            "expansions": outcomes(expander),
            "begun": begun,
            "most": {name: max(int(one[name]) for one in samples) for name in begun},
            "ended": ended,
            "risen": rise,
            "held": middle,
            "most_resident": max(one["resident"] for one in samples),
            "flat": rise <= max(FLAT * middle, FLAT_BYTES),
            "nothing_left": all(ended[name] <= begun[name] + more for name, more in SLACK.items()),
        }
    say(f"  {told}")
    return told


def outcomes(expander: Expander) -> dict[str, int]:
    """Expansions by who proposed them and how."""
    rows = [(dict(labels), value) for (name, labels), value in expander.metrics().items() if name == "expander_expansions_total"]
    return {f"{labels['source']}, {labels['outcome']}": int(value) for labels, value in sorted(rows, key=lambda row: -row[1])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", type=Path, default=Path(".warmstart-bench"))
    parser.add_argument("--seconds", type=float, default=600)
    chosen = parser.parse_args()
    told = measure(chosen.state.resolve(), chosen.seconds)
    raise SystemExit(0 if told["flat"] and told["nothing_left"] else 1)


if __name__ == "__main__":
    main()
