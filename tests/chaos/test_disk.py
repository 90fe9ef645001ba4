"""A full disk, a read-only one and a damaged catalogue: told clearly, nothing lost, and writes work again once they can."""

import os
import random
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import httpx2
import numpy as np
import pytest
from tests.chaos.acknowledged import Writer
from tests.chaos.damage import flip_bits
from tests.chaos.disks import Limited, Mounted, disk
from tests.chaos.processes import GENEROUS_S, Retriever, running, starting, wait_until

from retriever.errors import StorageFailed
from retriever.items import Item
from retriever.library import Library
from retriever.schema import PAGE_BYTES

WRITES: dict[str, float] = {"put": 3, "delete": 1, "patch": 1, "upload": 1, "fill": 1}


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Mounted | Limited]:
    with disk(tmp_path / "disk") as mounted:
        yield mounted


def problem(answer: httpx2.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["type"]


def unsealed(client: httpx2.Client) -> int:
    return int(client.get("/v1/spaces").json()[0]["unsealed"])


def test_on_a_full_disk_writes_are_refused_and_searches_go_on_until_there_is_room_again(small: Mounted | Limited) -> None:
    writer = Writer(3)
    with running(small.folder) as retriever:
        for _ in range(20):
            writer.write(retriever.client, WRITES)
        small.fill(retriever.process.pid)
        for kind in ("put", "patch", "upload", "delete"):
            while problem_of_a_write(writer, retriever, kind) is None:  # what is left of the log's last page takes a few
                assert len(writer.before.titles) < 600
            writer.check(retriever.client)
        assert retriever.client.post("/v1/spaces/content-1/merge").status_code == 202
        wait_until(lambda: "index_build_failed" in retriever.log.read_text(), "the failed build was not told")
        writer.check(retriever.client)
        assert retriever.client.get("/readyz").status_code == 200
        small.free(retriever.process.pid)
        for _ in range(10):
            writer.write(retriever.client, WRITES)
        wait_until(lambda: unsealed(retriever.client) == 0 or merged_again(retriever), "the index was not built once there was room")
        writer.check(retriever.client)
        retriever.kill()
    with running(small.folder) as retriever:
        writer.check(retriever.client)


def problem_of_a_write(writer: Writer, retriever: Retriever, kind: str) -> str | None:
    """Why it was refused; None when it was done."""
    method, path, asked, change = getattr(writer, kind)()
    answer = retriever.client.request(method, path, **asked)
    if answer.status_code == 200:
        change(writer.before)
        return None
    assert problem(answer) == (503, "/problems/storage-failed")
    assert answer.headers["retry-after"]
    assert "Check the disk of state_dir" in answer.json()["detail"]
    return str(answer.json()["detail"])


def merged_again(retriever: Retriever) -> bool:
    return retriever.client.post("/v1/spaces/content-1/merge").status_code != 202


def test_a_start_on_a_full_disk_serves_what_there_is(tmp_path: Path) -> None:
    with disk(tmp_path / "disk") as small:
        if isinstance(small, Limited):
            pytest.skip("needs root and the right to mount: a limit on one process can not be there before it starts")
        writer = Writer(4)
        with running(small.folder) as retriever:
            for _ in range(20):
                writer.write(retriever.client, {**WRITES, "merge": 1})
            retriever.kill()
        small.fill(0)
        with running(small.folder) as retriever:
            writer.check(retriever.client)
            small.free(0)
            writer.write(retriever.client, {"put": 1})
            writer.check(retriever.client)


def test_a_read_only_folder_is_refused_with_the_reason_and_harmed_in_nothing(small: Mounted | Limited) -> None:
    writer = Writer(5)
    with running(small.folder) as retriever:
        for _ in range(10):
            writer.write(retriever.client, WRITES)
        retriever.kill()
    small.allow_writing(False)
    if isinstance(small, Limited) and not os.geteuid():
        pytest.skip("root without the right to mount writes where it likes")
    refused = Retriever(small.folder)
    assert refused.process.wait(GENEROUS_S) != 0
    said = refused.log.read_text()
    refused.stop()
    assert str(small.folder) in said
    assert "RETRIEVER_STATE_DIR" in said
    small.allow_writing(True)
    with running(small.folder) as retriever:
        writer.check(retriever.client)


def filled(path: Path, items: int = 400) -> None:
    library = Library(path, lenders=2, fsync=False)
    drawn = np.random.default_rng(0).standard_normal((items, 32)).astype(np.float32)
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    library.put("f", [Item(f"i{number}", f"title {number}", {"year": number}, "text " * 20) for number in range(items)], drawn)
    library.close()


def test_a_catalogue_that_is_none_is_refused(tmp_path: Path) -> None:
    for content in (b"not a database" * 1_000, bytes(40_960)):
        (tmp_path / "c.sqlite3").write_bytes(content)
        with pytest.raises(StorageFailed, match="could not be opened"):
            Library(tmp_path / "c.sqlite3", lenders=2)
        (tmp_path / "c.sqlite3").unlink()


def test_a_torn_catalogue_is_never_served_as_whole(tmp_path: Path) -> None:
    """Pages overwritten with zeros or cut off: the opening or the check after it says so."""
    path, rng = tmp_path / "c.sqlite3", random.Random(1)
    filled(path)
    whole = path.read_bytes()
    for page in range(len(whole) // PAGE_BYTES):
        torn = bytearray(whole)
        torn[page * PAGE_BYTES : (page + 1) * PAGE_BYTES] = bytes(PAGE_BYTES)
        assert_told(path, bytes(torn))
    for _ in range(10):
        assert_told(path, whole[: rng.randrange(1, len(whole) // PAGE_BYTES) * PAGE_BYTES])


def lay(path: Path, content: bytes) -> None:
    """Writes the catalogue's file, and takes away what belonged to the one before."""
    path.write_bytes(content)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    shutil.rmtree(path.parent / "segments", ignore_errors=True)


def assert_told(path: Path, content: bytes) -> None:
    lay(path, content)
    with pytest.raises(StorageFailed) as told:
        library = Library(path, lenders=2)
        try:
            library.verify()
        finally:
            library.close()
    assert str(told.value)


def test_flipped_bits_raise_nothing_but_storage_failed(tmp_path: Path) -> None:
    """SQLite keeps no checksums, so a bit in a text or a vector may only change it; one in the structure of a page is told."""
    path, rng, told = tmp_path / "c.sqlite3", random.Random(2), 0
    filled(path)
    whole = path.read_bytes()
    for _ in range(60):
        lay(path, whole)
        flip_bits(path, rng, 30)
        try:
            library = Library(path, lenders=2)
            try:
                library.verify()
                library.after("", 1_000)
            finally:
                library.close()
        except StorageFailed:
            told += 1
    assert told > 30


def test_a_running_retriever_tells_that_its_catalogue_is_damaged(tmp_path: Path) -> None:
    """In the log and at /readyz, as soon as the whole file has been read."""
    state = tmp_path / "state"
    state.mkdir()
    filled(state / "catalogue.sqlite3")
    with sqlite3.connect(state / "catalogue.sqlite3") as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'items_changed'").fetchone()
    connection.close()
    with (state / "catalogue.sqlite3").open("r+b") as file:
        file.seek((page - 1) * PAGE_BYTES + 3)
        file.write(b"\xff\xff")  # more cells than the page has room for
    with starting(state) as retriever:  # what is ready may be damaged before anybody has asked
        wait_until(lambda: "is damaged" in retriever.readiness().text, "the damage was not told")
        assert retriever.readiness().status_code == 503
        assert "catalogue_damaged" in retriever.log.read_text()
