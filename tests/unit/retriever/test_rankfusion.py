import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retriever.rankfusion import Hit, fuse, min_max, reciprocal_ranks

LISTS = st.dictionaries(
    st.sampled_from(["text", "taste", "news"]),
    st.dictionaries(st.sampled_from("abcdefgh"), st.floats(-1, 1, width=32), max_size=8).map(
        lambda scores: sorted((Hit(name, score) for name, score in scores.items()), key=lambda hit: -hit.score)
    ),
    min_size=1,
)


def test_reciprocal_ranks_are_those_of_the_paper() -> None:
    lists = {"x": [Hit("a", 0.9), Hit("b", 0.8)], "y": [Hit("b", 0.1), Hit("c", 0.0)]}
    fused = fuse(lists, {"x": 1.0, "y": 1.0}, reciprocal_ranks(60))
    assert [(hit.id, hit.score) for hit in fused] == [("b", pytest.approx(1 / 62 + 1 / 61)), ("a", 1 / 61), ("c", 1 / 62)]


def test_weighted_scores_lie_between_the_last_and_the_first_of_each_list() -> None:
    lists = {"x": [Hit("a", 0.9), Hit("b", 0.6), Hit("c", 0.5)], "y": [Hit("c", -3), Hit("a", -5)]}
    fused = fuse(lists, {"x": 1.0, "y": 0.5}, min_max)
    assert [(hit.id, hit.score) for hit in fused] == [("a", 1.0), ("c", 0.5), ("b", pytest.approx(0.25))]


@given(LISTS, st.sampled_from([reciprocal_ranks(60), min_max]))
def test_contributions_say_where_a_hit_stood_and_add_up_to_its_score(lists: dict[str, list[Hit]], values: object) -> None:
    weights = {"text": 1.0, "taste": 2.5, "news": 0.1}
    fused = fuse(lists, weights, values)  # type: ignore[arg-type]
    assert {hit.id for hit in fused} == {hit.id for hits in lists.values() for hit in hits}
    assert [(-hit.score, hit.id) for hit in fused] == sorted((-hit.score, hit.id) for hit in fused)
    for hit in fused:
        assert hit.contributions is not None
        assert hit.score == math.fsum(one.added for one in hit.contributions.values())
        for name, one in hit.contributions.items():
            assert lists[name][one.rank - 1] == Hit(hit.id, one.score)


@given(LISTS)
def test_the_order_in_which_lists_are_named_changes_nothing(lists: dict[str, list[Hit]]) -> None:
    weights = {"text": 0.1, "taste": 0.2, "news": 0.3}
    turned = fuse(dict(reversed(lists.items())), weights, reciprocal_ranks(60))
    assert [(hit.id, hit.score) for hit in turned] == [(hit.id, hit.score) for hit in fuse(lists, weights, reciprocal_ranks(60))]


def test_equal_scores_are_all_the_best() -> None:
    assert list(min_max([0.5, 0.5])) == [1, 1]
    assert list(min_max([])) == []
