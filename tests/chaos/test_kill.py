"""The retriever as a real process, killed at random moments: what it acknowledged is there, and nothing is there by half."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import httpx2
import pytest
from tests.chaos.acknowledged import ENCODERS, Writer, left_over, lines
from tests.chaos.preloaded import Forked
from tests.chaos.processes import GENEROUS_S, Retriever, alive, environment, running, wait_until

WRITES: dict[str, float] = {"put": 10, "delete": 2, "patch": 2, "upload": 1}
PHASES: dict[str, tuple[int, float, dict[str, float]]] = {
    "writes": (25, 0.25, WRITES),
    "seals and merges": (30, 0.9, {**WRITES, "fill": 2, "merge": 5}),
    "cut-overs": (25, 0.3, {"put": 4, "delete": 1, "fill": 4, "cut_over": 5, "drop": 1}),
    "snapshots": (20, 0.8, {**WRITES, "merge": 1}),
}
"""How often the process is killed, up to how many seconds after its first write, and during what."""


def _begin(writer: Writer, retriever: Retriever, weights: dict[str, float]) -> "Future[None]":
    """Writes in a thread until the process is gone; returns after the first write."""
    before, done = writer.written, Future[None]()

    def write() -> None:
        try:
            while True:
                writer.write(retriever.client, weights)
        except httpx2.TransportError:
            done.set_result(None)
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=write, daemon=True).start()
    wait_until(lambda: writer.written > before or done.done(), "nothing was written")
    return done


def snapshot(state: Path, asked: str, url: Path) -> Forked:
    return Forked("retriever.snapshot", (asked, str(url)), environment(state), state.parent / "snapshot.log")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("phase", PHASES)
def test_every_acknowledged_write_survives_kill_9_and_nothing_is_halved(phase: str, tmp_path: Path) -> None:
    kills, longest, weights = PHASES[phase]
    state, url, writer = tmp_path / "state", tmp_path / "snapshots", Writer(len(phase))
    taking = None
    for kill in range(kills):
        with running(state, preloaded=kill > 0) as retriever:
            assert not left_over(state, retriever.started)
            writer.check(retriever.client)
            written = _begin(writer, retriever, weights)
            if phase == "snapshots":
                taking = snapshot(state, "take", url)
            time.sleep(writer.rng.uniform(0, longest))
            retriever.kill()
            written.result(GENEROUS_S)
            if taking and kill % 2:  # the other half go on without their retriever
                taking.kill()
            if taking:
                taking.wait(GENEROUS_S)
    with running(state) as retriever:
        writer.check(retriever.client)
        assert not left_over(state, retriever.started)
    assert writer.written >= kills
    if phase == "snapshots":
        _restored(state, url, tmp_path / "restored", writer)


def _restored(state: Path, url: Path, restored: Path, writer: Writer) -> None:
    """What was killed left no snapshot that is damaged, and the next one is whole."""
    assert snapshot(state, "verify", url).wait(GENEROUS_S) == 0
    assert snapshot(state, "take", url).wait(GENEROUS_S) == 0
    assert snapshot(restored, "restore", url).wait(GENEROUS_S) == 0
    with running(restored) as retriever:
        writer.check(retriever.client)
    assert not [path for path in state.glob("taking/*") if path.name != "lock"]


def test_a_killed_building_process_is_replaced_and_searches_never_notice(tmp_path: Path) -> None:
    state, writer = tmp_path / "state", Writer(1)
    with running(state) as retriever:
        for _ in range(20):
            writer.write(retriever.client, {"put": 1})
        killed = 0
        while killed < 2:
            retriever.client.post("/v1/spaces/content/merge")
            wait_until(lambda: bool(retriever.children()), "nothing is built")
            for child in retriever.children():
                os.kill(child, signal.SIGKILL)
                killed += 1
            writer.write(retriever.client, {"put": 1})
            writer.check(retriever.client)

        def sealed() -> bool:
            content = retriever.client.get("/v1/spaces").json()[0]
            return bool(content["segments"] == 1 and content["unsealed"] == 0)

        retriever.client.post("/v1/spaces/content/merge")
        wait_until(sealed, "the index was not built after its builder was killed")
        writer.check(retriever.client)
        (child,) = retriever.children()
        retriever.kill()
        assert not alive(child)


def test_a_killed_upload_of_lines_leaves_whole_batches(tmp_path: Path) -> None:
    """Lines are stored by the thousand, so of a body that is cut off a multiple of that is there."""
    state = tmp_path / "state"
    headers = {"content-type": "application/x-ndjson"}
    for kill in range(3):
        rows = [{"item": {"id": f"i{kill}-{number}", "title": "t" * 400}, "embedding": [0.6, 0.8]} for number in range(10_000)]
        killed = threading.Event()

        def body(written: bytes = lines(rows), killed: threading.Event = killed) -> Iterator[bytes]:
            """Keeps its last byte until the retriever is gone, so that no machine is quick enough to be done before."""
            yield written[:-1]
            killed.wait(GENEROUS_S)
            yield written[-1:]

        with running(state) as retriever:

            def stored(client: httpx2.Client = retriever.client) -> int:
                return int(client.get("/v1/items").json()["total"])

            def send(url: str = str(retriever.client.base_url), content: Iterator[bytes] | None = None) -> None:
                with pytest.raises(httpx2.TransportError), httpx2.Client(base_url=url, timeout=GENEROUS_S, trust_env=False) as client:
                    client.put("/v1/items", params={"fingerprint": ENCODERS["two"]}, content=content, headers=headers)

            before = stored()
            assert before % 1_000 == 0
            sending = threading.Thread(target=send, kwargs={"content": body()})
            sending.start()
            wait_until(lambda: stored() > before, "no batch of the upload was stored")  # noqa: B023 - called before the next round
            time.sleep(0.1 * kill)
            retriever.kill()
            killed.set()
            sending.join(GENEROUS_S)
            assert not sending.is_alive()
    with running(state) as retriever:
        assert int(retriever.client.get("/v1/items").json()["total"]) % 1_000 == 0


def test_a_second_retriever_on_the_folder_does_not_start_and_harms_nothing(tmp_path: Path) -> None:
    state, writer = tmp_path / "state", Writer(2)
    with running(state) as first:
        writer.write(first.client, {"put": 1})
        second = Retriever(state)
        assert second.process.wait(GENEROUS_S) != 0
        assert f"is used by another retriever (process {first.process.pid})" in second.log.read_text()
        second.stop()
        writer.write(first.client, {"put": 1})
        writer.check(first.client)
        first.kill()
        with running(state) as reopened:
            writer.check(reopened.client)
