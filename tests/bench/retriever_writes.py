"""Writes while the retriever serves: how soon one is found, and what 2,000 a second do to searches. Knows nothing of segments.

Works on a copy of the filled server, so that the exact answers of the other measures stay true. The writer is a process of its own.
"""

import json
import multiprocessing
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from tests.bench.retriever_dataset import Dataset
from tests.bench.retriever_load import Load, Outcome
from tests.bench.retriever_search import Asked
from tests.bench.retriever_server import Server, ServerRefused, filled, lines, put_request, search_request, searches
from tests.bench.retriever_timing import median, percentiles

UPSERTS_PER_S, LINES_PER_BODY = 2_000, 50
SEARCHES_PER_S = 50
VISIBLE = 400
WARMING_S = 3.0


@contextmanager
def copied(data: Dataset, **settings: str | int) -> Iterator[Server]:
    """A server over a copy of the filled one's state, gone afterwards."""
    original, folder = data.state / f"server-{data.rows}", data.state / f"server-{data.rows}-written"
    if not (original / "whole").exists():
        with filled(data):
            pass
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(original, folder)
    try:
        with Server(folder, **settings) as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def upserted(data: Dataset, number: int) -> list[dict[str, Any]]:
    """The items of one body: every other one overwrites an item, the rest are new."""
    places = range(number * LINES_PER_BODY, (number + 1) * LINES_PER_BODY)
    overwritten = np.random.default_rng([8, number]).integers(0, data.rows, LINES_PER_BODY)
    return [
        {"id": f"i{row}" if place % 2 else f"w{place}", "title": f"Written {place}", "attributes": data.attributes(place)}
        for place, row in zip(places, overwritten.tolist(), strict=True)
    ]


def visible(server: Server, data: Dataset) -> dict[str, Any]:
    """PUT one item, then search for its vector until it is found: milliseconds of both together, half of the items new."""
    vectors, times, later = data.extra(10**6, VISIBLE), [], 0
    with Load(server.port, 1) as load:
        for place, vector in enumerate(vectors):
            name = f"v{place}" if place % 2 else f"i{place}"
            put = put_request(lines([{"id": name, "title": "Written", "attributes": data.attributes(place)}], vector[None]))
            asked, started, tries = search_request(vector[None]), time.perf_counter(), 0
            hits: set[str] = set()
            if (answer := load.closed([put]).answers[0]).status != 200:
                raise ServerRefused(answer.body.decode(errors="replace"))
            while name not in hits:
                tries += 1
                hits = {hit["id"] for hit in json.loads(load.closed([asked]).answers[0].body)["results"][0]["hits"]}
                if tries > 100:
                    raise ServerRefused(f"The item {name!r} was acknowledged and is not found by its own vector.")
            times.append(1_000 * (time.perf_counter() - started))
            later += tries > 1
    return {"writes": len(times), "not_at_first_search": later, **percentiles(times)}


def write_on(port: int, data: Dataset, turn: int, seconds: float, told: Connection) -> None:
    """The writer process: renders all bodies, says so, waits for a word, writes at the pace whatever the server does, tells the outcome."""
    numbers = range(1_000 * turn, 1_000 * turn + round(seconds * UPSERTS_PER_S / LINES_PER_BODY))
    requests = [put_request(lines(upserted(data, number), data.extra(number, LINES_PER_BODY))) for number in numbers]
    told.send("ready")
    told.recv()
    with Load(port, 4) as load:
        outcome = load.paced(requests, UPSERTS_PER_S / LINES_PER_BODY, seconds)
    accepted = sum(answer.status == 200 for answer in outcome.answers) * LINES_PER_BODY
    told.send({"accepted_per_s": accepted / outcome.seconds, "ack_ms": percentiles(outcome.latencies_ms()), "refused": outcome.refused()})


def builds(server: Server) -> float:
    """Segments and bases built since the start, from the metrics."""
    with Load(server.port, 1) as load:
        text = load.closed([b"GET /metrics HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"]).answers[0].body.decode()
    counts = [line for line in text.splitlines() if line.startswith("retriever_") and "build" in line and "_count" in line]
    return sum(float(line.rsplit(" ", 1)[1]) for line in counts)


def searched(server: Server, data: Dataset, effort: int, seconds: float) -> Outcome:
    with Load(server.port, 32, keep=False) as load:
        return load.paced(searches(data.reported, 1, effort=effort), SEARCHES_PER_S, seconds)


def mixed(server: Server, data: Dataset, effort: int, turn: int, seconds: float) -> dict[str, Any]:
    """The same searches at the same pace without writes and with them, `seconds` each."""
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    writer = spawn.Process(target=write_on, args=(server.port, Dataset(data.state, data.rows), turn, seconds + WARMING_S + 2, there))
    writer.start()
    try:
        here.recv()
        searched(server, data, effort, WARMING_S)
        idle, built = searched(server, data, effort, seconds), builds(server)
        here.send("go")
        time.sleep(WARMING_S)
        busy = searched(server, data, effort, seconds)
        written, built = here.recv(), builds(server) - built
    finally:
        writer.join(60)
    state = server.space()
    server.settle()
    times = {"idle_ms": percentiles(idle.latencies_ms()), "busy_ms": percentiles(busy.latencies_ms())}
    more = {"seconds": seconds, "builds": built, "after": state, "p99_ratio": times["busy_ms"]["p99"] / times["idle_ms"]["p99"]}
    return times | more | {"writer": written, "refused": busy.refused()}


def measure(data: Dataset, seconds: float, rounds: int) -> dict[str, Any]:
    """Both; the mixed load in several rounds, told by the medians."""
    with copied(data) as server:
        effort = Asked(server, data).effort()  # before anything is overwritten that the exact answers know
        seen = visible(server, data)
        each = [mixed(server, data, effort, turn, seconds) for turn in range(rounds)]
    result = {"rows": data.rows, "effort": effort, "searches_per_s": SEARCHES_PER_S, "visible": seen, "rounds": each}
    return result | {
        "p99_ratio": median([one["p99_ratio"] for one in each]),
        "idle_p99_ms": median([one["idle_ms"]["p99"] for one in each]),
        "busy_p99_ms": median([one["busy_ms"]["p99"] for one in each]),
        "accepted_per_s": median([one["writer"]["accepted_per_s"] for one in each]),
        "builds": sum(one["builds"] for one in each),
    }
