"""The co-occurrence artefact."""

import json
from pathlib import Path
from typing import Any

import pytest

from expander import artefact, matching
from pipelines import sample, topics


def book(number: int, title: str, author: str, *genres: str) -> dict[str, Any]:
    return {"id": str(number), "title": title, "attributes": {"authors": [author], "genres": list(genres), "year": 1990}}


SHELF = [
    *(book(n, f"Star Fleet {n}", "Ann Leaper", "fiction", "sci-fi", "space") for n in range(6)),
    *(book(10 + n, f"Alien Dawn {n}", "Bo Orbit", "fiction", "science-fiction", "aliens", "space") for n in range(4)),
    *(book(20 + n, f"Tea and Murder {n}", "Agatha Crisp", "fiction", "cozy-mystery", "murder-mystery", "owned") for n in range(8)),
    *(book(30 + n, f"Love in May {n}", "Cora Heart", "fiction", "romance") for n in range(22)),
    book(90, "Bare", "Nobody"),
    {"id": "91", "title": "Without attributes"},
    {"id": "92", "title": "One genre as a word", "attributes": {"genres": "space", "subjects": ["aliens", 7, None]}},
]


@pytest.fixture
def made() -> dict[str, Any]:
    return topics.build_topics(SHELF)


def label(made: dict[str, Any], number: float) -> str:
    return str(made["topics"][int(number)][0])


def test_topics_are_counted_by_item_over_all_spellings(made: dict[str, Any]) -> None:
    counts = dict(map(tuple, made["topics"]))
    assert counts["science fiction"] == 10
    assert counts["space"] == 11
    assert counts["aliens"] == 5
    assert "fiction" not in counts
    assert made["items"] == len(SHELF)


def test_a_topic_on_more_than_a_third_of_the_items_is_marked_as_common(made: dict[str, Any]) -> None:
    assert [label(made, number) for number in made["common"]] == ["romance"]


def test_topics_that_stand_together_are_related_and_others_are_not(made: dict[str, Any]) -> None:
    position = [pair[0] for pair in made["topics"]].index("cozy mystery")
    assert [label(made, other) for other, _ in made["related"][position]] == ["murder mystery"]


def test_words_of_titles_and_authors_lead_to_topics(made: dict[str, Any]) -> None:
    assert {label(made, number) for number, _ in made["words"]["agatha"]} == {"cozy mystery", "murder mystery"}
    assert "bare" not in made["words"]
    assert "may" not in made["words"]  # all its books are romances, and romance is common


def test_a_pair_seen_on_few_items_is_weaker_than_the_same_share_of_many() -> None:
    few = topics.build_topics([*SHELF, *(book(100 + n, "x", "y", "noir", "jazz") for n in range(3))])
    many = topics.build_topics([*SHELF, *(book(100 + n, "x", "y", "noir", "jazz") for n in range(12))])

    def strength(made: dict[str, Any]) -> float:
        names = [pair[0] for pair in made["topics"]]
        return float(dict(made["related"][names.index("noir")])[names.index("jazz")])

    assert strength(few) < strength(many)


def test_no_items_make_an_empty_artefact_and_strengths_stay_in_bounds(made: dict[str, Any]) -> None:
    assert topics.build_topics([])["topics"] == []
    pairs = [pair for each in (*made["related"], *made["words"].values()) for pair in each]
    assert all(0 < strength <= 1 for _, strength in pairs)


def test_a_topic_on_every_item_breaks_nothing() -> None:
    made = topics.build_topics([book(n, "x", "y", "space", "aliens") for n in range(5)])
    assert made["related"] == [[], []]
    assert len(made["common"]) == 2


def test_the_same_items_make_the_same_artefact(made: dict[str, Any]) -> None:
    assert topics.build_topics(iter(SHELF)) == made
    assert topics.build_topics(SHELF[:-1])["content_hash"] != made["content_hash"]


def test_writing_replaces_the_file_at_once_and_leaves_nothing_else(made: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "artefacts" / "topics.json"
    topics.write(path, {"old": True})
    topics.write(path, made)
    assert json.loads(path.read_text()) == made
    with pytest.raises(TypeError):
        topics.write(path, {"broken": object()})
    assert json.loads(path.read_text()) == made
    assert list(path.parent.iterdir()) == [path]
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sample") / "topics.json"
    topics.write(path, topics.build_topics(sample.items()))
    return path


def test_the_samples_artefact_is_small(real: Path) -> None:
    assert real.stat().st_size < 1_000_000


@pytest.mark.parametrize(
    ("interest", "expected"),
    [
        ("space opera with political intrigue", {"space", "political thriller", "aliens"}),
        ("cosy mysteries in a village", {"cozy mystery", "murder mystery", "British mystery"}),
        ("cooking", {"nonfiction", "memoir"}),
        ("vampires", {"paranormal romance", "vampire romance"}),
        ("stoic philosophy", {"political philosophy", "psychology"}),
        ("books for a 7 year old about dragons", {"children's", "dragons"}),
        ("asdfgh", set()),
    ],
)
def test_the_expander_reads_it_and_a_reader_finds_the_topics_right(real: Path, interest: str, expected: set[str]) -> None:
    proposed = matching.propose(artefact.load(real), interest, 5)
    assert expected <= set(proposed)
    assert bool(proposed) == bool(expected)
