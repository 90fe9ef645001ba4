"""The expander and a fake LLM as processes of their own, and requests for them. Knows their HTTP and processes, not their insides."""

import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import httpx2
from prometheus_client.parser import text_string_to_metric_families
from tests.bench.expander_llm import KINDS, WORDS
from tests.bench.retriever_load import Answer, Load, request

from expander.artefact import content_hash
from pipelines.suite import Suite, free_ports

START_S = 20
MOODS = ("slow burning", "tense", "wistful", "rowdy", "tender", "bleak", "playful", "sober")
PLACES = ("a monastery", "a mill town", "the tropics", "a submarine", "two villages", "a boarding house", "the capital", "a salt mine")
SUBJECTS = ("mystery", "detectives", "small towns", *MOODS, *(place.split(" ", 1)[1] for place in PLACES))
"""What the catalogue has for interests; the first three belong together."""


class ServerAnswered(Exception):
    """An answer that the benchmark did not expect."""


def interests(count: int, seed: str = "") -> list[str]:
    """`count` that differ from one another, and from those of another seed (one word); the catalogue has something for each."""
    drawn = random.Random(seed)
    return [f"{drawn.choice(MOODS)} mystery in {drawn.choice(PLACES)}, {seed}-{at}" for at in range(count)]


def expand_request(interest: str, mode: str = "wait", deadline_ms: float = 60_000, **more: Any) -> bytes:
    body = {"interests": [interest], "mode": mode, "deadline_ms": deadline_ms, **more}
    return request("POST", "/v1/expand", json.dumps(body, separators=(",", ":")).encode())


def expansion(answer: Answer) -> dict[str, Any]:
    """The only one of an answer; raises `ServerAnswered` for another status than 200."""
    if answer.status != 200:
        raise ServerAnswered(f"{answer.status}: {answer.body[:300].decode(errors='replace')}")
    found: dict[str, Any] = json.loads(answer.body)["expansions"][0]
    return found


def write_artefact(path: Path) -> None:
    """A catalogue that knows half of the words of the fake LLM's topics, and the subjects of the interests."""
    topics = [*SUBJECTS, *(f"{word} {kind}" for word in WORDS for kind in KINDS[::2])]
    number = {topic: place for place, topic in enumerate(topics)}
    related = {"mystery": ("detectives", "small towns")}
    content = {
        "format": 1,
        "items": 10_000,
        "topics": [[topic, 10] for topic in topics],
        "common": [],
        "related": [[[number[other], 0.8] for other in related.get(topic, ())] for topic in topics],
        "phrases": number,
        "words": {},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"content_hash": content_hash(content), **content}))


class Llm:
    """The fake LLM on a port that stays its own; a context manager."""

    def __init__(self, capacity: int = 0, latency_s: float = 0.0) -> None:
        [self.port] = free_ports(1)
        self._numbers = {"capacity": capacity, "latency": latency_s}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *_: Any) -> None:
        self.kill()

    def start(self) -> None:
        """Returns when it answers."""
        line = [sys.executable, "-m", "tests.bench.expander_llm", "--port", str(self.port)]
        line += [part for name, value in self._numbers.items() for part in (f"--{name}", str(value))]
        self._process = subprocess.Popen(line, start_new_session=True)
        ends = time.monotonic() + START_S
        while True:
            try:
                self.stats()
                return
            except httpx2.TransportError:
                if time.monotonic() > ends or self._process.poll() is not None:
                    raise
                time.sleep(0.02)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def set(self, **numbers: float) -> None:
        """Changes what it does, or what it has counted."""
        httpx2.post(f"http://127.0.0.1:{self.port}/control", json=numbers, timeout=30, trust_env=False).raise_for_status()

    def stats(self) -> dict[str, Any]:
        told: dict[str, Any] = httpx2.get(f"http://127.0.0.1:{self.port}/stats", timeout=30, trust_env=False).json()
        return told


class Expander:
    """An expander with new state in `folder`, and an encoder with that backend beside it where one is named; a context manager.

    `settings` are its environment variables without the prefix; those that are not text become JSON.
    """

    def __init__(self, folder: Path, llm_url: str, *, encoder: str = "", **settings: Any) -> None:
        chosen = {"llm_url": llm_url, "llm_model": "fake", "log_level": "WARNING"} | ({} if encoder else {"encoder_url": ""}) | settings
        told = {f"EXPANDER_{name.upper()}": value if isinstance(value, str) else json.dumps(value) for name, value in chosen.items()}
        self._services = ["encoder", "expander"] if encoder else ["expander"]
        shutil.rmtree(folder, ignore_errors=True)
        self._suite = Suite(folder, told | {"ENCODER_BACKEND": encoder})

    @property
    def port(self) -> int:
        return self._suite.ports["expander"]

    @property
    def pid(self) -> int:
        return self._suite.pid("expander")

    @property
    def folder(self) -> Path:
        return self._suite.folder

    def __enter__(self) -> Self:
        write_artefact(self._suite.topics_path)
        self._suite.start(*self._services)
        try:
            self._suite.wait_ready(*self._services)
            self._await_canary()
        except BaseException:
            self._suite.stop()
            raise
        return self

    def __exit__(self, *_: Any) -> None:
        self._suite.stop()

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The parsed answer; raises `ServerAnswered` for a status that is not 2xx."""
        with Load(self.port, 1) as load:
            answer = load.closed([request(method, path, b"" if body is None else json.dumps(body).encode())]).answers[0]
        if not 200 <= answer.status < 300:
            raise ServerAnswered(f"{method} {path}: {answer.status} {answer.body[:500].decode(errors='replace')}")
        return json.loads(answer.body)

    def precompute(self, kinds: Sequence[str], portion: int = 1_000) -> dict[str, int]:
        """How many were made, kept, ...; raises `ServerAnswered` when one failed or no time was left for it."""
        counted: dict[str, int] = {}
        for at in range(0, len(kinds), portion):
            told = self.call("POST", "/v1/expansions:precompute", {"interests": kinds[at : at + portion], "deadline_ms": 300_000})
            for one in told["results"]:
                if one["status"] not in ("made", "kept"):
                    raise ServerAnswered(f"precompute: {one}")
                counted[one["status"]] = counted.get(one["status"], 0) + 1
        return counted

    def metrics(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """Every sample by name and labels."""
        text = httpx2.get(f"http://127.0.0.1:{self.port}/metrics", timeout=30, trust_env=False).raise_for_status().text
        families = text_string_to_metric_families(text)
        return {(one.name, frozenset(one.labels.items())): one.value for family in families for one in family.samples}

    def value(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples with these labels; 0 where there is none yet."""
        return total(self.metrics(), name, **labels)

    def cpu_s(self) -> float:
        return cpu_s(self.pid)

    def waited_s(self) -> float:
        """Time that its event loop's thread was ready to run and had no core: that others took."""
        return int(Path(f"/proc/{self.pid}/schedstat").read_text().split()[1]) / 1e9

    def memory(self) -> dict[str, int]:
        """Resident bytes, and those of them that are no page of a file."""
        rows = status(self.pid)
        resident, anonymous = (1_024 * int(rows[name].split()[0]) for name in ("VmRSS", "RssAnon"))
        return {"resident": resident, "anonymous": anonymous}

    def held(self) -> dict[str, int]:
        """What a leak would pile up: tasks, open files, threads."""
        return {
            "tasks": int(self.value("expander_tasks")),
            "files": len(list(Path(f"/proc/{self.pid}/fd").iterdir())),
            "threads": int(status(self.pid)["Threads"]),
        }

    def _await_canary(self) -> None:
        """From then on every question is asked with the same body."""
        ends = time.monotonic() + START_S
        while (told := self.call("GET", "/v1/backend"))["structured_output"]["found"] == "unknown":
            if time.monotonic() > ends:
                raise ServerAnswered(f"the canary was not answered: {told}")
            time.sleep(0.05)


def total(samples: dict[tuple[str, frozenset[tuple[str, str]]], float], name: str, **labels: str) -> float:
    return sum(value for (own, with_labels), value in samples.items() if own == name and with_labels >= labels.items())


def status(pid: int) -> dict[str, str]:
    return dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)


def cpu_s(pid: int) -> float:
    """Processor time that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def apart(pid: int) -> Iterator[bool]:
    """The process has a core of its own and this one the others, as far as there are several; whether that is so."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        yield False
        return
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), cores[:1])
    os.sched_setaffinity(0, cores[1:])
    try:
        yield True
    finally:
        os.sched_setaffinity(0, cores)
