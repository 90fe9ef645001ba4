"""Which interests are expanded ahead of traffic."""

import re
from pathlib import Path
from typing import Any

import pytest

from pipelines import sample
from pipelines.precompute import head
from pipelines.precompute.head import HeadUnusable, Wanted

CONSOLE = Path(__file__).parents[4] / "services" / "gateway" / "gateway" / "console" / "app.js"


def book(number: int, author: str, genre: str) -> dict[str, Any]:
    return {"id": str(number), "title": "x", "attributes": {"authors": [author], "genres": [genre]}}


def test_the_starters_are_those_of_the_page() -> None:
    examples = re.search(r"const EXAMPLES = \[(.*?)\];", CONSOLE.read_text(encoding="utf-8"), re.DOTALL)
    assert examples is not None
    assert tuple(re.findall(r'"([^"]+)"', examples[1])) == head.STARTERS


def test_all_subjects_come_first_then_the_most_frequent_authors_and_rare_ones_not_at_all() -> None:
    shelf = [*(book(n, "Ann", "space") for n in range(5)), *(book(10 + n, "Bo", "horror") for n in range(4)), book(20, "Cy", "horror")]
    assert head.of_catalogue(shelf, 10) == [
        Wanted("horror", "subject"),
        Wanted("space", "subject"),
        Wanted("Ann", "author"),
        Wanted("Bo", "author"),
    ]
    assert head.of_catalogue(shelf, 1)[2:] == [Wanted("Ann", "author")]


def test_the_sample_has_all_its_genres_and_its_best_known_authors() -> None:
    wanted = head.of_catalogue(sample.items(), 500)
    kinds = [one.kind for one in wanted]
    assert kinds.count("author") == 500
    assert kinds.count("subject") > 200
    assert Wanted("Stephen King", "author") in wanted


def test_a_file_has_one_interest_per_line(tmp_path: Path) -> None:
    path = tmp_path / "interests.txt"
    path.write_text("# what people ask for\n\n  cosy   mysteries \n雨の夜\n", encoding="utf-8")
    assert head.in_file(path) == [Wanted("cosy mysteries", "file"), Wanted("雨の夜", "file")]


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_a_file_that_can_not_be_read_is_refused_with_its_name(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "interests.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(HeadUnusable, match=r"interests\.txt"):
        head.in_file(path)


def test_of_interests_that_are_the_same_to_the_expander_the_first_stays() -> None:
    wanted = [Wanted("Dragons", "file"), Wanted("  dragons", "subject"), Wanted("ＤＲＡＧＯＮＳ", "subject"), Wanted("space", "subject")]
    assert head.distinct(wanted) == [Wanted("Dragons", "file"), Wanted("space", "subject")]
    assert head.distinct(wanted, 1) == [Wanted("Dragons", "file")]
