"""Finding topics in the sample catalogue's vocabulary.

`grounded_topics.tsv` holds topics labelled by hand: the topic, the labels that are right (an author's name after @; none where the
catalogue has no word for it), and what it is from. The rules were made on `development`. `recorded` ones were written by Llama3-ChatQA
about readers (DBbook profiles of swapUniba/LLM-user-profiles-for-recsys, MIT), `written` ones by a person; both were labelled before
anything was matched to them.
"""

from pathlib import Path

import pytest

from expander import artefact, vocabulary
from expander.artefact import Topics
from expander.grounding import Grounded, Grounder
from pipelines import sample
from pipelines import topics as pipeline

LABELLED = Path(__file__).with_name("grounded_topics.tsv")


@pytest.fixture(scope="module")
def grounder(tmp_path_factory: pytest.TempPathFactory) -> Grounder:
    path = tmp_path_factory.mktemp("sample") / "topics.json"
    pipeline.write(path, pipeline.build_topics(sample.items()))
    file = artefact.ArtefactFile(path)
    file.current()
    return Grounder(file)


def labelled(*sources: str) -> list[tuple[str, set[str]]]:
    rows = [line.split("\t") for line in LABELLED.read_text(encoding="utf-8").splitlines()]
    return [(topic, set(right.split("|")) - {""}) for topic, right, source in rows if source in sources]


def shown(grounded: Grounded) -> str | None:
    return f"@{grounded.label}" if grounded.kind == "author" else grounded.label


@pytest.mark.parametrize(("sources", "precision", "recall"), [(("development",), 0.97, 0.96), (("recorded", "written"), 0.97, 0.92)])
def test_what_is_found_is_right_and_little_is_missed(grounder: Grounder, sources: tuple[str, ...], precision: float, recall: float) -> None:
    rows = labelled(*sources)
    found = [(topic, shown(grounder.of([topic])[0]), right) for topic, right in rows]
    given = [(topic, label, right) for topic, label, right in found if label is not None]
    correct = sum(label in right for _, label, right in given)
    there = sum(bool(right) for _, _, right in found)
    assert len(rows) >= 140
    assert correct / len(given) >= precision, [row for row in given if row[1] not in row[2]]
    assert correct / there >= recall, [row for row in found if row[2] and row[1] not in row[2]]


@pytest.mark.parametrize(
    ("topic", "label"),
    [
        ("mysteries, cosy", "cozy mystery"),
        ("History of the Renaissance", "history"),
        ("military science fiction", "science fiction"),
        ("Southern Gothic literature", "southern gothic"),
        ("stories about ghosts", "ghosts"),
        ("enemies-to-lovers romance", "romance"),
    ],
)
def test_the_narrowest_subject_of_the_head_is_taken(grounder: Grounder, topic: str, label: str) -> None:
    assert grounder.of([topic]) == (Grounded(topic, label, "subject"),)


@pytest.mark.parametrize("topic", ["political intrigue", "space stations", "mystery guests", "", "  ", "!!!", "\u9f8d", "the of and"])
def test_a_modifier_or_nothing_is_no_match(grounder: Grounder, topic: str) -> None:
    assert grounder.of([topic]) == (Grounded(topic),)


@pytest.mark.parametrize(
    ("topic", "name"),
    [
        ("jk rowling", "J.K. Rowling"),
        ("J. R. R. Tolkien's Middle-earth", "J.R.R. Tolkien"),
        ("Kurt Vonnegut", "Kurt Vonnegut Jr."),
        ("Gabriel Garcia Marquez", "Gabriel García Márquez"),
        ("novels in the style of Haruki Murakami", "Haruki Murakami"),
        ("Plato", "Plato"),
    ],
)
def test_an_author_is_found_however_the_name_is_written(grounder: Grounder, topic: str, name: str) -> None:
    assert grounder.of([topic]) == (Grounded(topic, name, "author"),)


def test_a_name_of_one_word_counts_only_as_the_whole_topic(grounder: Grounder) -> None:
    assert grounder.of(["Homer Simpson", "a Sunny day"]) == (Grounded("Homer Simpson"), Grounded("a Sunny day"))


def test_long_topics_are_looked_at_by_their_last_words() -> None:
    topics = Topics("x", 10, labels=("magic",), counts=(3,), phrases={frozenset({"magic"}): 0})
    assert vocabulary.subject(topics, f"{'very ' * 500}magic") == "magic"
    assert vocabulary.author(topics, "word " * 500) is None
