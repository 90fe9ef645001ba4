"""Snapshots and read replicas as real processes over a real S3-speaking server that comes and goes."""

import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from tests.chaos.processes import free_port
from tests.integration.s3 import BUCKET, S3, serving

from retriever.copying import TAKING
from retriever.errors import Damaged, StorageAway
from retriever.items import Item
from retriever.library import Library
from retriever.manifest import CATALOGUE
from retriever.restoration import RESTORING, names, read, restore, verify
from retriever.snapshot import take
from retriever.storage import Objects
from servicekit.settings import environment_with

GENEROUS_S = 30


@pytest.fixture(scope="module")
def server() -> Iterator[S3]:
    with serving() as running:
        yield running


@pytest.fixture
def url(request: pytest.FixtureRequest, server: S3) -> str:
    """A place of its own for each test."""
    return f"s3://{BUCKET}/{request.node.name[:60]}"


class Retriever:
    """A retriever process and a client of it."""

    def __init__(self, server: S3, **settings: str) -> None:
        port = free_port()
        said = {f"RETRIEVER_{name.upper()}": value for name, value in settings.items()}
        environment = environment_with(
            **server.environment, RETRIEVER_PORT=str(port), RETRIEVER_LOG_LEVEL="ERROR", OMP_NUM_THREADS="1", **said
        )
        self.process = subprocess.Popen([sys.executable, "-m", "retriever"], env=environment)
        self.client = httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=30)

    def wait_ready(self) -> "Retriever":
        wait_until(lambda: self.status() == 200, "the retriever did not become ready")
        return self

    def status(self) -> int:
        assert self.process.poll() is None, "the retriever stopped"
        with suppress(httpx2.TransportError):
            return self.client.get("/readyz").status_code
        return 0

    def put(self, *ids: str, embedding: tuple[float, float] = (0.6, 0.8)) -> int:
        """The generation of the write."""
        items = [{"item": {"id": name, "title": f"title of {name}"}, "embedding": embedding} for name in ids]
        answer = self.client.put("/v1/items", json={"fingerprint": "f", "items": items})
        assert answer.status_code == 200, answer.text
        return int(answer.json()["generation"])

    def has(self, name: str) -> bool:
        return self.client.get(f"/v1/items/{name}").status_code == 200

    def ids(self) -> list[str]:
        return [item["id"] for item in self.client.get("/v1/items", params={"limit": 1000}).json()["items"]]

    def metric(self, name: str) -> float:
        """NaN when it is not told yet."""
        lines = self.client.get("/metrics").text.splitlines()
        return float(next((line for line in lines if line.startswith(name + " ")), f"{name} nan").split()[1])

    def search(self, **asked: Any) -> httpx2.Response:
        return self.client.post("/v1/search", json={"searches": [{"embeddings": [[0.6, 0.8]]}], "k": 5, **asked})

    def stop(self, kill: bool = False) -> None:
        self.process.kill() if kill else self.process.terminate()
        self.process.wait(30)
        self.client.close()


@contextmanager
def running(server: S3, **settings: str) -> Iterator[Retriever]:
    retriever = Retriever(server, **settings)
    try:
        yield retriever
    finally:
        retriever.process.kill()
        retriever.process.wait()
        retriever.client.close()


def wait_until(holds: Callable[[], bool], otherwise: str) -> float:
    """Seconds until it held."""
    started = time.perf_counter()
    while not holds():
        assert time.perf_counter() - started < GENEROUS_S, otherwise
        time.sleep(0.01)
    return time.perf_counter() - started


@pytest.fixture
def here(server: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process's SDK speaks to the server."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)


def filled(state: Path, items: int) -> int:
    """A folder as a retriever with so many items leaves it; its generation."""
    state.mkdir()
    angles = np.linspace(0, 1, items)
    with closing(Library(state / CATALOGUE, 10)) as library:
        stored = [Item(f"n{number:04}", "title") for number in range(items)]
        return library.put("f", stored, np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)).generation


def test_new_items_reach_two_readers_in_seconds(server: S3, url: str, tmp_path: Path) -> None:
    with ExitStack() as stack:
        readers = [stack.enter_context(running(server, state_dir=str(tmp_path / f"reader{n}"), follow_url=url)) for n in range(2)]
        check_unready(readers[0])
        writer = stack.enter_context(running(server, state_dir=str(tmp_path / "writer"), publish_url=url)).wait_ready()
        for reader in readers:
            reader.wait_ready()
        waits: list[float] = []
        for number in range(10):
            generation = writer.put(f"n{number}", embedding=(1.0, 0.0))
            waits += [wait_until(partial(reader.has, f"n{number}"), "the item did not arrive") for reader in readers]
            for reader in readers:
                assert reader.search(min_generation=generation).json()["generation"] == generation
        print(f"a new item reached a reader in {sorted(waits)[len(waits) // 2]:.2f} s (median), {max(waits):.2f} s (worst of {len(waits)})")
        assert writer.client.delete("/v1/items/n0").status_code == 200
        for reader in readers:
            wait_until(lambda reader=reader: not reader.has("n0"), "the deletion did not arrive")  # type: ignore[misc]
            wait_until(lambda reader=reader: reader.metric("retriever_generation") == 11, "the reader is at another generation")  # type: ignore[misc]
            assert reader.metric("retriever_replica_lag_seconds") < GENEROUS_S
            refused = reader.client.put(
                "/v1/items", json={"fingerprint": "f", "items": [{"item": {"id": "x", "title": "t"}, "embedding": [0.6, 0.8]}]}
            )
            assert (refused.status_code, refused.json()["type"].rsplit("/")[-1]) == (409, "read-only")
            assert url in refused.json()["detail"]


def check_unready(reader: Retriever) -> None:
    """It answers, and says that it has nothing to answer from."""
    wait_until(lambda: reader.status() == 503, "the reader does not answer")
    problem = reader.search()
    assert problem.status_code == 503
    assert "has not restored a snapshot" in problem.json()["detail"]


def test_a_reader_serves_on_while_storage_is_away_and_catches_up(server: S3, url: str, tmp_path: Path) -> None:
    with (
        running(server, state_dir=str(tmp_path / "writer"), publish_url=url) as writer,
        running(server, state_dir=str(tmp_path / "reader"), follow_url=url) as reader,
    ):
        writer.wait_ready().put("a")
        reader.wait_ready()
        wait_until(lambda: reader.has("a"), "the item did not arrive")
        server.stop()
        try:
            writer.put("b")
            writer.put("c")
            wait_until(lambda: writer.metric("retriever_unpublished_seconds") > 1, "the writer does not say that it does not publish")
            wait_until(lambda: reader.metric("retriever_replica_lag_seconds") > 1, "the reader does not say that it hears nothing")
            assert reader.status() == 200
            assert [hit["id"] for hit in reader.search().json()["results"][0]["hits"]] == ["a"]
            writer.stop(kill=True)
        finally:
            server.start()
        with running(server, state_dir=str(tmp_path / "writer"), publish_url=url) as again:
            again.wait_ready()
            wait_until(lambda: reader.ids() == ["a", "b", "c"], "what was written while storage was away did not arrive")
            wait_until(lambda: again.metric("retriever_unpublished_seconds") == 0, "the writer still says that it does not publish")


def test_every_acknowledged_write_reaches_a_reader_though_the_writer_is_killed(server: S3, url: str, tmp_path: Path) -> None:
    chance, acknowledged = random.Random(7), list[str]()
    with running(server, state_dir=str(tmp_path / "reader"), follow_url=url) as reader:
        for life in range(3):
            with running(
                server, state_dir=str(tmp_path / "writer"), publish_url=url, replicate_every_s="0.05", snapshot_after="3"
            ) as writer:
                writer.wait_ready()
                stop = threading.Timer(chance.uniform(0.1, 0.5), writer.process.kill)
                stop.start()
                with suppress(httpx2.TransportError):
                    for number in range(10_000):
                        writer.put(name := f"{life:02}-{number:05}")
                        acknowledged.append(name)
                stop.join()
        with running(server, state_dir=str(tmp_path / "writer"), publish_url=url) as writer:
            expected = writer.wait_ready().ids()
            assert set(acknowledged) <= set(expected)
            wait_until(lambda: reader.status() == 200 and reader.ids() == expected, "the reader does not have what the writer has")


def test_a_snapshot_of_a_live_retriever_is_restored_elsewhere(server: S3, url: str, here: None, tmp_path: Path) -> None:
    filled(tmp_path / "first", 200)
    with running(server, state_dir=str(tmp_path / "first")) as first:
        first.wait_ready()
        assert first.client.post("/v1/spaces/content/merge").status_code in (200, 202)
        wait_until(lambda: first.metric('retriever_segments{space="content-1"}') == 1, "nothing was sealed")
        manifest = take(tmp_path / "first", url)
        first.put("later")
    assert any(path.startswith("segments/1-") or path.endswith(".graph") for path in manifest.files), sorted(manifest.files)
    verify(Objects(url), manifest, tmp_path)
    restore(url, "latest", tmp_path / "second")
    with closing(Library(tmp_path / "second" / CATALOGUE, 10)) as second:
        assert (len(second), second.generation, second.item("later")) == (200, manifest.generation, None)
        (space,) = second.spaces()
        assert (space.segments, space.unsealed) == (1, 0), "the sealed segment was not taken over"


def test_damage_in_storage_is_named_and_refused(server: S3, url: str, here: None, tmp_path: Path) -> None:
    filled(tmp_path / "first", 3)
    manifest = take(tmp_path / "first", url)
    client, key = server.client(), f"{url.removeprefix(f's3://{BUCKET}/')}/files/{manifest.files[CATALOGUE].sha256}"
    content = bytearray(client.get_object(Bucket=BUCKET, Key=key)["Body"].read())
    content[len(content) // 3] ^= 16
    for damaged in (bytes(content), bytes(content[:-1])):
        client.put_object(Bucket=BUCKET, Key=key, Body=damaged)
        with pytest.raises(Damaged, match=CATALOGUE):
            restore(url, "latest", tmp_path / "second")
    client.delete_object(Bucket=BUCKET, Key=key)
    with pytest.raises(Damaged, match=f"incomplete.*{CATALOGUE}"):
        restore(url, "latest", tmp_path / "second")
    assert not (tmp_path / "second" / CATALOGUE).exists()


def test_storage_that_is_away_is_told_in_seconds(server: S3, url: str, here: None, tmp_path: Path) -> None:
    filled(tmp_path / "first", 3)
    server.stop()
    try:
        started = time.perf_counter()
        with pytest.raises(StorageAway, match="check network"):
            take(tmp_path / "first", url)
        with pytest.raises(StorageAway, match="check network"):
            restore(url, "latest", tmp_path / "second")
        assert time.perf_counter() - started < GENEROUS_S
    finally:
        server.start()
    restore(url, take(tmp_path / "first", url).name, tmp_path / "second")


def test_killed_taking_and_restoring_leave_nothing_that_counts(server: S3, url: str, here: None, tmp_path: Path) -> None:
    """Kills both in the middle: a snapshot is whole or not there, a folder is restored or can be restored into."""
    chance, state, new = random.Random(11), tmp_path / "first", tmp_path / "second"
    generation = filled(state, 20_000)
    taken = take(state, url)
    kills = {"take": 0, "restore": 0}
    for what, folder, begun in [("take", state, TAKING), ("restore", new, RESTORING)] * 4:
        environment = environment_with(**server.environment, RETRIEVER_STATE_DIR=str(folder))
        process = subprocess.Popen([sys.executable, "-m", "retriever.snapshot", what, url], env=environment)
        wait_until(lambda: (folder / begun).exists() or process.poll() is not None, "the command did nothing")  # noqa: B023
        time.sleep(chance.uniform(0, 0.05))
        process.kill()
        kills[what] += process.wait() == -signal.SIGKILL
        if (new / CATALOGUE).exists():
            check_and_clear(new, generation)
    objects = Objects(url)
    for name in names(objects):
        verify(objects, read(objects, name), tmp_path)
    assert take(state, url).files == taken.files
    restore(url, "latest", new)
    check_and_clear(new, generation)
    print("killed in the middle:", kills)
    assert min(kills.values()) > 0


def check_and_clear(state: Path, generation: int) -> None:
    with closing(Library(state / CATALOGUE, 10)) as library:
        assert (len(library), library.generation) == (20_000, generation)
    shutil.rmtree(state)
