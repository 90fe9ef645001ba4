"""The journal gives back what was finished of an item as it was, and refuses what is not its own."""

import sqlite3
from pathlib import Path

import pytest

from pipelines.enrich.faults import JournalRefused
from pipelines.enrich.fields import Enrichment
from pipelines.enrich.journal import Journal

MADE = Enrichment(("rivers", "hügel", "雨"), "A plain account of rivers.", "fake", "enrich-1")


def test_what_was_kept_is_found_by_id_and_digest_in_a_later_run(tmp_path: Path) -> None:
    path = tmp_path / "new" / "journal.sqlite3"
    with Journal(path) as journal:
        journal.keep([("a", "1", MADE)])
    with Journal(path) as journal:
        assert journal.find("a", "1") == MADE
        assert journal.find("a", "2") is None
        assert journal.find("b", "1") is None


def test_a_later_enrichment_takes_the_place_of_the_former(tmp_path: Path) -> None:
    later = Enrichment(("towns",), "A plain account of towns.", "larger", "enrich-2")
    with Journal(tmp_path / "journal") as journal:
        journal.keep([("a", "1", MADE)])
        journal.keep([("a", "2", later)])
        assert journal.find("a", "1") is None
        assert journal.find("a", "2") == later


def test_a_second_run_is_refused_while_the_first_lives(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal"), pytest.raises(JournalRefused, match="another run has it"), Journal(tmp_path / "journal"):
        pass
    with Journal(tmp_path / "journal"):
        pass


def test_what_is_no_journal_is_refused_and_left_alone(tmp_path: Path) -> None:
    text, other = tmp_path / "text", tmp_path / "other"
    text.write_text("not a database, whatever its name is" * 100)
    rows = sqlite3.connect(other)
    rows.execute("CREATE TABLE theirs (id)")
    rows.close()
    before = text.read_bytes(), other.read_bytes()
    with pytest.raises(JournalRefused, match="is damaged or no journal"), Journal(text):
        pass
    with pytest.raises(JournalRefused, match="a database of something else"), Journal(other):
        pass
    with pytest.raises(JournalRefused, match="can not be opened"), Journal(tmp_path):
        pass
    assert (text.read_bytes(), other.read_bytes()) == before
