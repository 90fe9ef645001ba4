"""Reading the artefact, and keeping up with its file."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.expander.conftest import content, write_artefact

from expander.artefact import ArtefactFile, content_hash, load
from expander.errors import ArtefactBroken, ArtefactMissing


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_missing_file_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(ArtefactMissing, match=r"python -m pipelines\.topics"):
        load(tmp_path / "none.json")


def test_the_hash_is_a_short_form_of_the_files(artefact: Path) -> None:
    assert content_hash(content()).startswith(load(artefact).hash)


def test_a_cut_file_is_refused(artefact: Path) -> None:
    artefact.write_bytes(artefact.read_bytes()[:-20])
    with pytest.raises(ArtefactBroken):
        load(artefact)


def test_a_changed_file_does_not_match_its_hash(artefact: Path) -> None:
    changed = json.loads(artefact.read_text())
    changed["topics"][1][0] = "something else"
    artefact.write_text(json.dumps(changed))
    with pytest.raises(ArtefactBroken, match="content_hash"):
        load(artefact)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 3},
        {"authors": [["Nobody", 0]]},
        {"common": [99]},
        {"related": []},
        {"phrases": {"space": -1}},
        {"words": {"cat": [[6, "NaN"]]}},
        {"topics": [["space", 0]]},
    ],
)
def test_an_artefact_with_a_wrong_member_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    write_artefact(tmp_path / "topics.json", **change)
    with pytest.raises(ArtefactBroken):
        load(tmp_path / "topics.json")


def test_a_new_file_is_used_after_the_poll_time_and_not_before(artefact: Path) -> None:
    clock = Clock()
    file = ArtefactFile(artefact, poll_s=1, clock=clock)
    before = file.current().hash
    after = write_artefact(artefact, items=200)
    clock.now = 0.9
    assert file.current().hash == before
    clock.now = 1.1
    assert after.startswith(file.current().hash)


@pytest.mark.parametrize("damage", ["broken", "gone"])
def test_a_broken_or_removed_file_leaves_the_old_artefact_in_use(artefact: Path, damage: str) -> None:
    file = ArtefactFile(artefact, poll_s=0)
    before = file.current()
    artefact.write_text("{") if damage == "broken" else artefact.unlink()
    assert file.current() is before
    assert file.problem is not None
    write_artefact(artefact, items=300)
    assert file.current().items == 300
    assert file.problem is None


def test_a_file_that_appears_later_is_found(tmp_path: Path) -> None:
    file = ArtefactFile(tmp_path / "topics.json", poll_s=0)
    with pytest.raises(ArtefactMissing):
        file.current()
    write_artefact(tmp_path / "topics.json")
    assert file.current().labels


def test_an_artefact_without_topics_is_as_good_as_none(tmp_path: Path) -> None:
    empty: dict[str, Any] = {"topics": [], "common": [], "related": [], "phrases": {}, "words": {}}
    write_artefact(tmp_path / "topics.json", **empty)
    with pytest.raises(ArtefactMissing, match="no topics"):
        ArtefactFile(tmp_path / "topics.json").current()


def test_a_file_of_the_format_before_is_read_and_has_no_authors(artefact: Path) -> None:
    assert json.loads(artefact.read_text())["format"] == 1
    assert load(artefact).authors == {}


def test_a_later_member_that_is_not_known_is_passed_over(tmp_path: Path) -> None:
    write_artefact(tmp_path / "topics.json", format=2, authors=[["Ann Leaper", 6]], moods={"cosy": 1})
    assert load(tmp_path / "topics.json").authors == {"annleaper": "Ann Leaper"}


def test_of_two_spellings_of_a_name_the_one_on_more_items_is_shown(tmp_path: Path) -> None:
    write_artefact(tmp_path / "topics.json", format=2, authors=[["J.K. Rowling", 16], ["JK Rowling", 2]])
    assert load(tmp_path / "topics.json").authors == {"jkrowling": "J.K. Rowling"}


def test_a_spelling_that_loses_a_word_leaves_its_rest_to_the_topic_of_that_name(tmp_path: Path) -> None:
    phrases = {"space": 2, "u s space": 3, "the space": 3}
    write_artefact(tmp_path / "topics.json", phrases=phrases)
    assert load(tmp_path / "topics.json").phrases == {frozenset({"space"}): 2}
