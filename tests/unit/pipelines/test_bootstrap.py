"""The bootstrap job fills what is empty, goes on where it was cut off, and leaves alone what somebody else filled."""

import gzip
import json
from pathlib import Path

import pytest
from tests.unit.pipelines.suites import SmallSuite

from pipelines import bootstrap
from pipelines.importer import ImportIncomplete
from pipelines.readiness import NotReady

BOOKS = [{"id": str(number), "title": f"Book {number}", "attributes": {"genres": ["space", "war"]}} for number in range(6)]
LIKES = [
    {"user_id": str(user), "item_id": str(item), "type": "like", "time": "2026-01-01T00:00:00Z"} for user in range(3) for item in range(4)
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with items, and events in gzip."""
    source = tmp_path / "import"
    source.mkdir()
    (source / "items.ndjson").write_text("\n".join(map(json.dumps, BOOKS)) + "\n\n")
    (source / "events.ndjson.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, LIKES)).encode()))
    return source


@pytest.fixture
def topics(tmp_path: Path) -> Path:
    return tmp_path / "artefacts" / "topics.json"


def run(suite: SmallSuite, folder: Path, topics: Path, *, wait_s: float = 0, force: bool = False) -> None:
    bootstrap.run(suite, str(folder), topics, wait_s=wait_s, force=force)


def test_an_empty_catalogue_is_filled_and_everything_derived_from_it_made(folder: Path, topics: Path) -> None:
    suite = SmallSuite()
    run(suite, folder, topics)
    assert [len(rows) for rows in suite.stored.values()] == [6, 12]
    assert set(suite.spaces) == {"popular", "collaborative"}
    assert json.loads(topics.read_text())["items"] == 6


def test_a_second_run_does_nothing(folder: Path, topics: Path, capsys: pytest.CaptureFixture[str]) -> None:
    suite = SmallSuite()
    run(suite, folder, topics)
    suite.spaces.clear()
    run(suite, folder, topics)
    assert suite.spaces == {}
    assert "holds 6 items already" in capsys.readouterr().out


def test_a_catalogue_that_somebody_else_filled_is_left_alone_unless_forced(folder: Path, topics: Path) -> None:
    suite = SmallSuite()
    suite.import_rows("/v1/items", [{"id": "own", "title": "Own"}])
    run(suite, folder, topics)
    assert len(suite.stored["/v1/items"]) == 1
    run(suite, folder, topics, force=True)
    assert len(suite.stored["/v1/items"]) == 7


def test_an_import_that_was_cut_off_goes_on_when_it_is_tried_again(folder: Path, topics: Path) -> None:
    suite = SmallSuite(refusing=4)
    with pytest.raises(ImportIncomplete, match="the encoder does not answer"):
        run(suite, folder, topics)
    assert len(suite.stored["/v1/items"]) == 5
    suite.refusing = None
    run(suite, folder, topics)
    assert [len(rows) for rows in suite.stored.values()] == [6, 12]


def test_a_job_that_was_killed_while_it_wrote_its_mark_goes_on(folder: Path, topics: Path) -> None:
    suite = SmallSuite()
    run(suite, folder, topics)
    (topics.parent / bootstrap.MARK).write_text("")
    suite.spaces.clear()
    run(suite, folder, topics)
    assert set(suite.spaces) == {"popular", "collaborative"}


def test_a_catalogue_that_was_lost_is_filled_again(folder: Path, topics: Path) -> None:
    run(SmallSuite(), folder, topics)
    fresh = SmallSuite()
    run(fresh, folder, topics)
    assert len(fresh.stored["/v1/items"]) == 6


def test_items_need_no_events(folder: Path, topics: Path) -> None:
    (folder / "events.ndjson.gz").unlink()
    suite = SmallSuite()
    run(suite, folder, topics)
    assert [len(rows) for rows in suite.stored.values()] == [6, 0]
    assert topics.exists()


def test_a_folder_without_items_is_refused_before_anything_is_marked(tmp_path: Path, topics: Path) -> None:
    with pytest.raises(bootstrap.SourceMissing, match=r"neither items\.ndjson nor"):
        run(SmallSuite(), tmp_path, topics)
    assert not (topics.parent / bootstrap.MARK).exists()


def test_a_suite_that_starts_late_is_waited_for(folder: Path, topics: Path) -> None:
    suite = SmallSuite(late=2)
    run(suite, folder, topics, wait_s=10)
    assert len(suite.stored["/v1/items"]) == 6


@pytest.mark.parametrize(
    ("suite", "reason"), [(SmallSuite(late=9), "no popular list yet"), (SmallSuite(silent="encoder"), "no answer from encoder")]
)
def test_the_wait_ends_and_says_what_was_missing(suite: SmallSuite, reason: str, folder: Path, topics: Path) -> None:
    with pytest.raises(NotReady, match=reason):
        run(suite, folder, topics, wait_s=0.05)
    assert suite.stored["/v1/items"] == []


def test_the_sample_says_how_many_rows_it_has() -> None:
    source = bootstrap.sampled()
    assert source.item_count == sum(1 for _ in source.items)
