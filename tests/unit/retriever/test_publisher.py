"""What was committed reaches readers, whatever happens to the writer between a commit and its publication."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.unit.retriever.replicas import Reader, Writer, copied, put, wait_until

from retriever.changelog import forget
from retriever.errors import PublisherReplaced
from retriever.manifest import CATALOGUE, SNAPSHOTS
from retriever.position import CHANGES, HEAD, PUBLISHED, announced
from retriever.restoration import names, read, restore
from retriever.snapshot import main, take
from retriever.storage import Objects


@pytest.fixture
def url(tmp_path: Path) -> str:
    return str(tmp_path / "objects")


@pytest.fixture
def writer(tmp_path: Path, url: str) -> Iterator[Writer]:
    writer = Writer(tmp_path / "writer", url)
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


def test_a_restarted_publisher_goes_on_where_it_was(writer: Writer, reader: Reader) -> None:
    put(writer.library, "b")
    writer.restarted().step()
    reader.follower.step()
    assert reader.ids() == ["a", "b"]
    assert len(reader.shown) == 1, "the reader had to begin anew"
    assert len(names(Objects(writer.url))) == 1


@pytest.mark.parametrize("forgotten", [(HEAD, PUBLISHED), (PUBLISHED,)])
def test_a_crash_while_publishing_loses_nothing(writer: Writer, reader: Reader, forgotten: tuple[str, ...]) -> None:
    with writer.crashing(*forgotten):
        put(writer.library, "b")
        writer.library.delete(["a"])
        writer.publisher.step()
    put(writer.library, "c")
    writer.publisher.step()
    reader.follower.step()
    assert reader.ids() == ["b", "c"]
    assert reader.library.generation == writer.library.generation
    assert len(reader.shown) == 1, "the reader had to begin anew"


def test_a_reader_that_heard_what_the_writer_forgot_goes_on(writer: Writer, reader: Reader) -> None:
    with writer.crashing(PUBLISHED):
        put(writer.library, "b")
        writer.publisher.step()
        reader.follower.step()
    put(writer.library, "c")
    writer.publisher.step()
    reader.follower.step()
    assert reader.ids() == ["a", "b", "c"]
    assert len(reader.shown) == 1


def test_nothing_is_written_while_nothing_changes(writer: Writer) -> None:
    objects = Objects(writer.url)
    before = objects.list("")
    for _ in range(3):
        writer.publisher.step()
    assert objects.list("") == before
    assert writer.publisher.behind_s() == 0


def test_a_lost_announcement_begins_a_new_line(writer: Writer, reader: Reader) -> None:
    objects = Objects(writer.url)
    line = announced(objects).line
    objects.delete([HEAD])
    put(writer.library, "b")
    writer.publisher.step()
    assert announced(objects).line != line
    reader.follower.step()
    assert reader.ids() == ["a", "b"]


def test_a_writer_that_was_put_back_begins_a_new_line_and_readers_go_over(writer: Writer, reader: Reader, tmp_path: Path) -> None:
    put(writer.library, "b")
    writer.publisher.step()
    reader.follower.step()
    assert reader.ids() == ["a", "b"]
    restore(writer.url, "latest", tmp_path / "restored")
    again = Writer(tmp_path / "restored", writer.url)
    with closing(again.library):
        put(again.library, "c")
        again.publisher.step()
        reader.follower.step()
        assert reader.ids() == ["a", "c"]
        assert reader.library.generation == again.library.generation


def test_a_writer_that_lost_its_disk_gets_back_all_that_was_published(
    writer: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in "bcd":
        put(writer.library, name)
        writer.publisher.step()
    writer.library.delete(["a"])
    writer.publisher.step()
    monkeypatch.setenv("RETRIEVER_STATE_DIR", str(tmp_path / "restored"))
    main(["restore", writer.url, "--with-changes"])
    assert "up to generation 5" in capsys.readouterr().out
    again = Writer(tmp_path / "restored", writer.url)
    with closing(again.library):
        assert [item.id for item in again.library.after("", 10)] == ["b", "c", "d"]


def test_a_snapshot_without_changes_is_told(writer: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    take(writer.folder, str(tmp_path / "elsewhere"))
    monkeypatch.setenv("RETRIEVER_STATE_DIR", str(tmp_path / "restored"))
    with pytest.raises(SystemExit):
        main(["restore", str(tmp_path / "elsewhere"), "--with-changes"])


@pytest.mark.parametrize("copy", [True, False], ids=["a copied folder", "a folder of its own"])
def test_of_two_writers_the_one_that_began_last_publishes(writer: Writer, tmp_path: Path, copy: bool) -> None:
    folder = copied(writer.folder, tmp_path / "other") if copy else tmp_path / "other"
    other = Writer(folder, writer.url)
    with closing(other.library):
        put(other.library, "theirs")
        other.publisher.step()
        put(writer.library, "mine")
        with pytest.raises(PublisherReplaced, match="Another writer"):
            writer.publisher.step()
        assert writer.publisher.behind_s() > 0
        put(other.library, "theirs too")
        other.publisher.step()


def test_what_is_too_much_for_a_change_goes_as_a_snapshot(writer: Writer, reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retriever.publisher.MOST", 10)
    line = announced(Objects(writer.url)).line
    put(writer.library, *(f"n{number}" for number in range(11)))
    writer.publisher.step()
    put(writer.library, "z")
    writer.publisher.step()
    reader.follower.step()
    assert len(reader.ids()) == 13
    assert reader.library.generation == writer.library.generation
    assert announced(Objects(writer.url)).line == line


def test_after_some_changes_a_snapshot_is_taken_and_old_changes_go(tmp_path: Path, url: str) -> None:
    writer = Writer(tmp_path / "writer", url, snapshot_after=3)
    objects = Objects(url)
    with closing(writer.library):
        for number in range(16):
            put(writer.library, f"n{number}")
            writer.publisher.step()
            writer.publisher.wait_for_snapshot()
        late = Reader(tmp_path / "late", url)
        late.follower.step()
        assert len(late.ids()) == 16
        late.follower.close()
    kept = [read(objects, name).follows for name in names(objects)]
    assert len(kept) == 2
    first = min(position.next_change for position in kept if position)
    changes = [stored.name for stored in objects.list(CHANGES)]
    assert changes
    assert min(changes) >= first


def test_what_was_published_is_no_news_any_more(tmp_path: Path, url: str) -> None:
    writer = Writer(tmp_path / "writer", url, snapshot_after=2)
    with closing(writer.library):
        for number in range(6):
            put(writer.library, f"n{number}")
            writer.library.delete([f"n{number}"])
            writer.publisher.step()
            writer.publisher.wait_for_snapshot()
        with closing(sqlite3.connect(tmp_path / "writer" / CATALOGUE)) as connection:
            assert connection.execute("SELECT count(*) FROM news").fetchone()[0] < 6


def test_deletions_that_were_forgotten_are_not_left_out(writer: Writer, reader: Reader) -> None:
    """As after a time without publishing, or an old announcement that was put back: readers get a snapshot."""
    writer.library.delete(["a"])
    with closing(sqlite3.connect(writer.folder / CATALOGUE, isolation_level=None)) as connection:
        forget(connection, writer.library.generation)
    put(writer.library, "b")
    writer.restarted().step()
    reader.follower.step()
    assert reader.ids() == ["b"]


def test_a_publisher_in_the_background_publishes_what_is_left_when_it_ends(writer: Writer, reader: Reader) -> None:
    publisher = writer.restarted()
    publisher.start()
    put(writer.library, "b")
    publisher.close()
    reader.follower.step()
    assert reader.ids() == ["a", "b"]


def test_a_publisher_outlives_a_disk_that_can_not_be_written(writer: Writer, reader: Reader) -> None:
    obstacle = (writer.folder / PUBLISHED).with_suffix(".aside")
    obstacle.mkdir()
    publisher = writer.restarted()
    publisher.start()
    put(writer.library, "b")
    wait_until(lambda: publisher.behind_s() > 0.2)
    obstacle.rmdir()
    put(writer.library, "c")
    wait_until(lambda: publisher.behind_s() == 0)
    publisher.close()
    reader.follower.step()
    assert reader.ids() == ["a", "b", "c"]
    assert len(reader.shown) == 1


def test_a_snapshot_that_fails_beside_the_changes_is_counted_until_one_is_taken(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "writer", str(tmp_path / "objects"), snapshot_after=1)
    snapshots, aside = Path(writer.url) / SNAPSHOTS, tmp_path / "aside"
    with closing(writer.library):
        assert writer.publisher.generation() == 0
        for number, (name, failures) in enumerate({"a": 0, "b": 1, "c": 2, "d": 0}.items()):
            if name == "b":
                snapshots.rename(aside)
                snapshots.touch()  # a file where a folder has to be
            if name == "d":
                snapshots.unlink()
                aside.rename(snapshots)
            put(writer.library, name, seed=number)
            writer.publisher.step()
            writer.publisher.wait_for_snapshot()
            assert writer.publisher.failed_snapshots() == failures
            assert writer.publisher.generation() == writer.library.generation, "readers hear of it all the same"
