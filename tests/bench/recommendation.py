"""One warm recommendation against its physical parts: raw encode and raw search in this process, in the same run.

Prints the p50 of a recommendation with one interest that nobody stated before, of one that was stated before, the raw parts, their ratio,
and the CPU each service spends per request. Knows the services from inside on purpose; nothing here is asserted.
"""

import argparse
import itertools
import platform
import shutil
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import numpy as np

from encoder.backends.protocol import embed, open_backend
from encoder.settings import Settings as EncoderSettings
from pipelines import demo
from pipelines.api import Api
from pipelines.suite import SERVICES, Suite
from retriever.app import FILE
from retriever.library import Library
from retriever.loans import LENDERS
from retriever.retrieval import Question, retrieve
from retriever.settings import Settings as RetrieverSettings
from retriever.sources import Query

GOAL = 3.0
SUBJECTS = ("dragons", "detectives", "Victorian London", "space travel", "first love", "the second world war", "witches", "philosophy")
WORDS = ("quiet", "funny", "dark", "short", "epic", "strange", "hopeful", "classic", "gripping", "slow", "tender", "wild", "clever")
PLACES = ("in winter", "by the sea", "at school", "in Paris", "for children", "with a twist", "in the desert", "told by a dog")


def interests(count: int) -> list[str]:
    """`count` different interests of four to eight words."""
    made = [f"{word} books about {subject} {place}" for place, subject, word in itertools.product(PLACES, SUBJECTS, WORDS)]
    return made[:count]


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Milliseconds, and the result."""
    started = time.perf_counter()
    result = work()
    return (time.perf_counter() - started) * 1_000, result


def cpu_seconds(suite: Suite, service: str) -> float:
    lines = httpx2.get(suite.url(service) + "/metrics").text.splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("process_cpu_seconds_total "))


def copied_catalogue(suite: Suite, folder: Path) -> Library:
    """The retriever's library over a copy of its file."""
    with closing(sqlite3.connect(suite.folder / "retriever" / FILE)) as live, closing(sqlite3.connect(folder / FILE)) as copy:
        live.backup(copy)
    return Library(folder / FILE, LENDERS)


def line(name: str, values: list[float]) -> None:
    low, middle, high = np.percentile(values, [5, 50, 95])
    print(f"  {name:<46} p5 {low:7.2f}   p50 {middle:7.2f}   p95 {high:7.2f} ms")


def measure(suite: Suite, count: int, folder: Path) -> None:
    shutil.copytree(suite.folder / "encoder", folder / "encoder")
    backend = open_backend(EncoderSettings(state_dir=folder / "encoder"), lambda *_: None)
    library, proposals = copied_catalogue(suite, folder), RetrieverSettings().candidates_per_source
    asked = interests(count + 20)
    with httpx2.Client(base_url=suite.gateway_url, timeout=30) as http:

        def recommend(interest: str) -> dict[str, Any]:
            answer = http.post("/v1/recommendations", json={"interests": [interest], "k": 10, "deadline_ms": 10_000})
            answer.raise_for_status()
            return dict(answer.json())

        def search(embeddings: Any, labels: list[str]) -> Any:
            queries = [Query(label, embedding, 1.0) for label, embedding in zip(labels, embeddings, strict=True)]
            weights = {"content": 1.0, "collaborative": 0.2, "popular": 0.05}
            return retrieve(library.view, Question(weights, queries, k=10), proposals)

        for interest in asked[count:]:
            answer = recommend(interest)
            search(embed(backend, [interest]), [interest])
        before = {service: cpu_seconds(suite, service) for service in SERVICES}
        new, again, encode, encode_all, found = [], [], [], [], []
        for interest in asked[:count]:
            milliseconds, answer = timed(partial(recommend, interest))
            new.append(milliseconds)
            again.append(timed(partial(recommend, interest))[0])
            labels = [interest, *(topic["text"] for topic in answer["topics"])]
            encode.append(timed(partial(embed, backend, [interest]))[0])
            milliseconds, embeddings = timed(partial(embed, backend, labels))
            encode_all.append(milliseconds)
            found.append(timed(partial(search, embeddings, labels))[0])
        spent = {service: (cpu_seconds(suite, service) - before[service]) / (2 * count) * 1_000 for service in SERVICES}
    print(f"{count} interests, {len(library.view):,} items, {platform.machine()}; four processes, one after the other:")
    line("recommendation, interest never stated before", new)
    line("recommendation, interest stated before", again)
    line("raw encode, the interest", encode)
    line("raw encode, the interest and its topics", encode_all)
    line("raw search", found)
    raw = statistics.median(encode) + statistics.median(found)
    print(f"  ratio, new interest / (raw encode of it + raw search):   {statistics.median(new) / raw:.2f}   (goal: at most {GOAL})")
    print(f"  ratio, stated before / (raw encode of it + raw search):  {statistics.median(again) / raw:.2f}")
    print("  CPU per request: " + ", ".join(f"{service} {ms:.1f} ms" for service, ms in spent.items()))
    library.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", type=Path, default=Path(".warmstart"), help="the demo's state; made when missing")
    parser.add_argument("--count", type=int, default=200)
    chosen = parser.parse_args()
    with Suite(chosen.state.resolve()) as suite, tempfile.TemporaryDirectory() as folder:
        suite.wait_ready()
        with Api(suite.gateway_url) as api:
            demo.prepare(api, suite)
        measure(suite, chosen.count, Path(folder))


if __name__ == "__main__":
    main()
