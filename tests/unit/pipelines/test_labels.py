"""Tags cleaned and merged into topic labels."""

import pytest

from pipelines import labels


def label_of(tag: str, *others: str) -> str | None:
    topic = labels.merged(dict.fromkeys((tag, *others), 10)).get(tag)
    return topic.label if topic else None


@pytest.mark.parametrize(
    "spellings",
    [
        ("science-fiction", "sci-fi", "scifi", "to-read-sci-fi", "sf"),
        ("young-adult", "ya", "teen", "ya-books", "young-adult-fiction"),
        ("childrens", "children-s", "children-s-books", "kids", "j-fiction", "childrensbooks"),
        ("world-war-ii", "world-war-2", "world-war-ll", "ww2"),
        ("cozy-mystery", "mystery-cozy", "cosy-mysteries"),
        ("memoir", "memoirs"),
        ("02-fantasy", "fantasy", "favorite-fantasy"),
        ("horror", "horror-fiction", "fiction-horror"),
        ("american-history", "us-history", "u-s-history", "history-american"),
    ],
)
def test_spelling_variants_are_one_topic(spellings: tuple[str, ...]) -> None:
    merged = labels.merged(dict.fromkeys(spellings, 3))
    assert set(merged) == set(spellings)
    assert len({topic.label for topic in merged.values()}) == 1


@pytest.mark.parametrize(
    "tag", ["to-read", "owned", "favorites", "books", "fiction", "general-fiction", "hugo-award", "a-fiction", "2015", ""]
)
def test_what_says_nothing_of_the_subject_is_dropped(tag: str) -> None:
    assert label_of(tag) is None


@pytest.mark.parametrize(
    ("tag", "label"),
    [
        ("fantasy-urban", "urban fantasy"),
        ("children-s-picture-books", "children's picture books"),
        ("20th-century-literature", "20th century literature"),
        ("world-war-2", "World War II"),
        ("american-literature", "American literature"),
        ("comics-dc", "comics DC"),
        ("ya-sci-fi", "young adult science fiction"),
    ],
)
def test_a_label_is_readable(tag: str, label: str) -> None:
    assert label_of(tag) == label


def test_tags_that_list_subjects_are_left_out() -> None:
    merged = labels.merged(
        dict.fromkeys(("mystery-and-suspense", "suspense-mystery", "mystery-suspense-thriller", "mystery", "thriller"), 5)
    )
    assert set(merged) == {"mystery", "thriller"}


def test_the_commonest_spelling_is_the_label_and_all_are_kept() -> None:
    merged = labels.merged({"witch": 2, "witches": 9})
    assert merged["witch"].label == "witches"
    assert {"witch", "witches"} <= set(merged["witch"].spellings)


def test_british_and_american_spellings_both_lead_to_a_topic() -> None:
    assert {"cozy mystery", "cosy mystery"} <= set(labels.merged({"cozy-mystery": 5})["cozy-mystery"].spellings)
