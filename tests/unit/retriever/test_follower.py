"""A reader serves what it last heard, whatever happens to the storage, and goes on when it can."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.unit.retriever.replicas import Reader, Writer, put, wait_until

from retriever.errors import Damaged, ObjectMissing
from retriever.follower import REPLICAS
from retriever.manifest import CATALOGUE, FILES, object_of
from retriever.position import CHANGES, HEAD, PUBLISHED, remembered
from retriever.restoration import names, read
from retriever.snapshot import take
from retriever.storage import Objects


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    writer = Writer(tmp_path / "writer", str(tmp_path / "objects"))
    put(writer.library, "a")
    writer.publisher.step()
    with closing(writer.library):
        yield writer


@pytest.fixture
def reader(tmp_path: Path, writer: Writer) -> Iterator[Reader]:
    reader = Reader(tmp_path / "reader", writer.url)
    reader.follower.step()
    yield reader
    reader.follower.close()


def write(writer: Writer, *ids: str) -> Path:
    """Writes and publishes items; the change's file."""
    put(writer.library, *ids)
    writer.publisher.step()
    return max((Path(writer.url) / CHANGES).rglob("0*"))


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def snapshot(writer: Writer) -> str:
    """What the command `take` does on the writer."""
    return take(writer.folder, writer.url, follows=remembered(writer.folder / PUBLISHED, writer.url)).name


def test_a_reader_has_what_the_writer_has(writer: Writer, reader: Reader) -> None:
    assert reader.ids() == ["a"]
    for name in "bcd":
        write(writer, name)
    reader.follower.step()
    assert reader.ids() == ["a", "b", "c", "d"]
    assert reader.library.generation == writer.library.generation


def test_a_reader_serves_on_while_storage_is_away(writer: Writer, reader: Reader, tmp_path: Path) -> None:
    write(writer, "b")
    objects = Path(writer.url).rename(tmp_path / "away")
    with pytest.raises(ObjectMissing):
        reader.follower.step()
    time.sleep(0.02)
    assert reader.follower.lag_s() >= 0.02
    assert reader.ids() == ["a"]
    objects.rename(writer.url)
    reader.follower.step()
    assert reader.ids() == ["a", "b"]
    assert reader.follower.lag_s() < 0.02


@pytest.mark.parametrize("spoil", [Path.unlink, flip, lambda path: path.write_bytes(path.read_bytes()[:-9])])
def test_a_gap_is_closed_by_the_next_snapshot(writer: Writer, reader: Reader, spoil: Callable[[Path], object]) -> None:
    spoil(write(writer, "b"))
    write(writer, "c")
    with pytest.raises(ObjectMissing, match="No snapshot"):
        reader.follower.step()
    assert reader.ids() == ["a"]
    before = reader.library
    snapshot(writer)
    write(writer, "d")
    reader.follower.step()
    assert reader.ids() == ["a", "b", "c", "d"]
    assert before.item("a") is not None, "the replica that requests may still use was closed"


def test_a_damaged_announcement_stops_nothing_but_news(writer: Writer, reader: Reader) -> None:
    write(writer, "b")
    flip(Path(writer.url) / HEAD)
    with pytest.raises(Damaged, match=HEAD):
        reader.follower.step()
    assert reader.ids() == ["a"]
    write(writer, "c")
    reader.follower.step()
    assert reader.ids() == ["a", "b", "c"]


def test_a_damaged_snapshot_is_passed_over_for_the_one_before(writer: Writer, tmp_path: Path) -> None:
    write(writer, "b")
    newest = read(Objects(writer.url), snapshot(writer))
    flip(Path(writer.url) / FILES / newest.files[CATALOGUE].sha256)
    flip(Path(writer.url) / object_of(snapshot(writer)))
    write(writer, "c")
    reader = Reader(tmp_path / "new", writer.url)
    reader.follower.step()
    assert reader.ids() == ["a", "b", "c"]
    reader.follower.close()


def test_a_snapshot_that_leads_nowhere_is_not_taken(writer: Writer, tmp_path: Path) -> None:
    """One that was taken of a folder that does not publish belongs to no line."""
    Objects(writer.url).delete([object_of(name) for name in names(Objects(writer.url))])
    take(writer.folder, writer.url)
    reader = Reader(tmp_path / "new", writer.url)
    with pytest.raises(ObjectMissing, match="No snapshot"):
        reader.follower.step()
    assert reader.shown == []


def test_a_restarted_reader_serves_without_storage_and_goes_on(writer: Writer, reader: Reader, tmp_path: Path) -> None:
    write(writer, "b")
    reader.follower.step()
    reader.follower.close()
    objects = Path(writer.url).rename(tmp_path / "away")
    reader.restarted()
    assert reader.ids() == ["a", "b"]
    objects.rename(writer.url)
    write(writer, "c")
    reader.follower.step()
    assert reader.ids() == ["a", "b", "c"]
    assert len(reader.shown) == 2, "the reader restored a snapshot again"


def test_what_an_interrupted_restoring_left_is_removed(writer: Writer, reader: Reader) -> None:
    reader.follower.close()
    half = reader.folder / REPLICAS / "99990101T000000.000000Z-000000000009-ffff"
    half.mkdir()
    (half / CATALOGUE).write_bytes(b"half")
    reader.restarted()
    assert reader.ids() == ["a"]
    assert not half.exists()


def test_a_replica_that_can_not_be_opened_is_restored_again(writer: Writer, reader: Reader) -> None:
    reader.follower.close()
    (catalogue,) = (reader.folder / REPLICAS).glob(f"*/{CATALOGUE}")
    catalogue.write_bytes(b"no database at all, but long enough to be looked at" * 100)
    reader.restarted().step()
    assert reader.ids() == ["a"]
    assert len(reader.shown) == 2


def test_a_replaced_replica_is_closed_and_removed_after_its_grace(writer: Writer, reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retriever.follower.GRACE_S", 0.0)
    write(writer, "b").unlink()
    snapshot(writer)
    reader.follower.start()
    wait_until(lambda: len(reader.shown) == 2 and len(list((reader.folder / REPLICAS).iterdir())) == 1)
    assert reader.ids() == ["a", "b"]


def test_two_readers_hear_the_same(writer: Writer, reader: Reader, tmp_path: Path) -> None:
    other = Reader(tmp_path / "other", writer.url)
    write(writer, "b")
    for one in (reader, other):
        one.follower.step()
    assert reader.ids() == other.ids() == ["a", "b"]
    other.follower.close()


def test_a_follower_outlives_a_disk_that_can_not_be_written(writer: Writer, reader: Reader) -> None:
    (obstacle,) = [folder / "heard.aside" for folder in (reader.folder / REPLICAS).iterdir()]
    obstacle.mkdir()
    reader.follower.start()
    write(writer, "b")
    wait_until(lambda: reader.ids() == ["a", "b"])
    wait_until(lambda: reader.follower.lag_s() > 0.2)
    obstacle.rmdir()
    write(writer, "c")
    wait_until(lambda: reader.ids() == ["a", "b", "c"])
    wait_until(lambda: reader.follower.lag_s() < 0.2)
