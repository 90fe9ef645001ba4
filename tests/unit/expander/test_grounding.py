"""Grounding of topics while the catalogue changes."""

import json
import threading
from pathlib import Path

from tests.unit.expander.conftest import NUMBER, content, write_artefact

from expander.artefact import ArtefactFile
from expander.grounding import Grounded, Grounder

AUTHORS = {"format": 2, "authors": [["Agatha Crisp", 8]]}


def test_topics_are_grounded_in_order_and_those_off_catalogue_stay(tmp_path: Path) -> None:
    write_artefact(tmp_path / "topics.json", **AUTHORS)
    file = ArtefactFile(tmp_path / "topics.json")
    file.current()
    assert Grounder(file).of(["knitting", "Sci-Fi", "books by agatha crisp"]) == (
        Grounded("knitting"),
        Grounded("Sci-Fi", "science fiction", "subject"),
        Grounded("books by agatha crisp", "Agatha Crisp", "author"),
    )


def test_without_an_artefact_nothing_is_grounded_and_there_is_no_version(tmp_path: Path) -> None:
    grounder = Grounder(ArtefactFile(tmp_path / "none.json"))
    assert grounder.of(["space"]) == (Grounded("space"),)
    assert grounder.version is None


def test_a_file_without_authors_is_read_as_one_that_has_none(artefact: Path) -> None:
    assert "authors" not in json.loads(artefact.read_text())
    file = ArtefactFile(artefact)
    file.current()
    assert Grounder(file).of(["space", "Agatha Crisp"]) == (Grounded("space", "space", "subject"), Grounded("Agatha Crisp"))


def test_a_new_vocabulary_grounds_the_same_topics_anew(artefact: Path) -> None:
    file = ArtefactFile(artefact, poll_s=0)
    file.current()
    grounder = Grounder(file)
    before = grounder.version
    assert grounder.of(["gardening"])[0].label is None
    write_artefact(artefact, phrases={**content()["phrases"], "gardening": NUMBER["space"]}, **AUTHORS)
    assert grounder.of(["gardening"])[0].label is None  # the file is read by `current`, never here
    file.current()
    assert grounder.of(["gardening"])[0].label == "space"
    assert grounder.version != before


def test_threads_that_ground_while_the_vocabulary_changes_get_one_or_the_other(artefact: Path) -> None:
    file = ArtefactFile(artefact, poll_s=0)
    file.current()
    grounder = Grounder(file)
    seen: set[str | None] = set()
    stopped = threading.Event()

    def ground() -> None:
        while not stopped.is_set():
            seen.add(grounder.of(["gardening"])[0].label)

    threads = [threading.Thread(target=ground) for _ in range(4)]
    for thread in threads:
        thread.start()
    for label in ("space", "aliens", "space", "aliens"):
        write_artefact(artefact, phrases={**content()["phrases"], "gardening": NUMBER[label]})
        file.current()
    stopped.set()
    for thread in threads:
        thread.join()
    assert seen <= {None, "space", "aliens"}
    assert grounder.of(["gardening"])[0].label == "aliens"
