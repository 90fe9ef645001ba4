"""The retriever as a real process, killed at random moments: what it acknowledged is there, and no batch is there by half."""

import contextlib
import json
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2

from servicekit.settings import environment_with

BATCH, KILLS = 7, 5


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(state: Path) -> Iterator[tuple[subprocess.Popen[bytes], httpx2.Client]]:
    port = free_port()
    environment = environment_with(RETRIEVER_PORT=str(port), RETRIEVER_STATE_DIR=str(state), RETRIEVER_LOG_LEVEL="ERROR")
    process = subprocess.Popen([sys.executable, "-m", "retriever"], env=environment)
    try:
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            deadline = time.monotonic() + 60
            while True:
                with contextlib.suppress(httpx2.TransportError):
                    if client.get("/readyz").status_code == 200:
                        break
                assert time.monotonic() < deadline, "the retriever did not become ready in a minute"
                assert process.poll() is None, "the retriever stopped"
                time.sleep(0.05)
            yield process, client
    finally:
        process.kill()
        process.wait()


def batch(number: int) -> dict[str, Any]:
    items = [{"item": {"id": f"{number}-{at}", "title": "t"}, "embedding": [0.6, 0.8]} for at in range(BATCH)]
    return {"fingerprint": "f", "items": items}


def write(client: httpx2.Client, numbers: Iterator[int], acknowledged: set[int], deleted: set[int], spaces: list[int]) -> None:
    """Writes until the process is gone; notes only what was acknowledged."""
    with contextlib.suppress(httpx2.TransportError):
        for number in numbers:
            assert client.put("/v1/items", json=batch(number)).status_code == 200
            acknowledged.add(number)
            rows = b"\n".join(json.dumps({"id": f"{number}-{at}", "score": number}).encode() for at in range(BATCH))
            assert client.put("/v1/spaces/popular", content=rows).status_code == 200
            spaces.append(number)
            if number % 3 == 0:
                assert client.delete(f"/v1/items/{number}-0").status_code == 200
                deleted.add(number)


def stored(client: httpx2.Client) -> dict[int, set[int]]:
    """The places that are there, by batch."""
    batches: dict[int, set[int]] = {}
    cursor = None
    while True:
        page = client.get("/v1/items", params={"limit": 1_000} | ({"cursor": cursor} if cursor else {})).json()
        for item in page["items"]:
            number, at = map(int, item["id"].split("-"))
            batches.setdefault(number, set()).add(at)
        if not (cursor := page["next_cursor"]):
            return batches


def popular_batch(client: httpx2.Client) -> set[float]:
    answer = client.post("/v1/retrieve", json={"weights": {"popular": 1}, "k": 1_000}).json()
    return {said["sources"]["popular"]["score"] for said in answer["candidates"]}


def test_every_acknowledged_write_survives_kill_9_and_no_batch_is_halved(tmp_path: Path) -> None:
    chance, acknowledged, deleted, spaces = random.Random(5), set[int](), set[int](), list[int]()
    numbers = iter(range(1_000_000))
    for _ in range(KILLS):
        with running(tmp_path) as (process, client):
            check(client, acknowledged, deleted, spaces)
            writer = threading.Thread(target=write, args=(client, numbers, acknowledged, deleted, spaces))
            before = len(acknowledged)
            writer.start()
            while len(acknowledged) == before:
                time.sleep(0.001)
            time.sleep(chance.uniform(0, 0.3))
            process.send_signal(signal.SIGKILL)
            writer.join(30)
            assert not writer.is_alive()
            assert process.wait() == -signal.SIGKILL
    with running(tmp_path) as (_, client):
        check(client, acknowledged, deleted, spaces)
    assert len(acknowledged) >= KILLS


def check(client: httpx2.Client, acknowledged: set[int], deleted: set[int], spaces: list[int]) -> None:
    found, everything = stored(client), set(range(BATCH))
    assert acknowledged <= found.keys()
    for number, places in found.items():
        if number in deleted:
            assert places == everything - {0}
        else:  # a deletion that was on its way when the process died may have happened
            assert places in (everything, everything - {0})
            assert places == everything or number % 3 == 0
    if spaces:
        (score,) = popular_batch(client)
        assert score >= spaces[-1]


def test_a_second_retriever_on_the_folder_does_not_start_and_harms_nothing(tmp_path: Path) -> None:
    with running(tmp_path) as (first, client):
        assert client.put("/v1/items", json=batch(1)).status_code == 200
        environment = environment_with(RETRIEVER_PORT=str(free_port()), RETRIEVER_STATE_DIR=str(tmp_path))
        second = subprocess.run([sys.executable, "-m", "retriever"], env=environment, capture_output=True, text=True, timeout=60)
        assert second.returncode != 0
        assert f"is used by another retriever (process {first.pid})" in second.stdout + second.stderr
        assert client.put("/v1/items", json=batch(2)).status_code == 200
        first.kill()
        first.wait()
        with running(tmp_path) as (_, reopened):
            assert reopened.get(f"/v1/items/2-{BATCH - 1}").status_code == 200
