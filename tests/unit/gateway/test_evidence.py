import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.evidence import MAX_EXCLUDED, MAX_LIKED, Asked, Deed, Taste, taste, weigh

KINDS = st.sampled_from(["view", "like", "rate", "review", "purchase", "dismiss"])
DEEDS = st.lists(st.builds(Deed, st.sampled_from("abcde"), KINDS, st.none() | st.floats(1, 5)), max_size=20)


@pytest.mark.parametrize(
    ("deeds", "liked"),
    [
        ([Deed("a", "like")], ("a",)),
        ([Deed("a", "view")], ("a",)),
        ([Deed("a", "rate", 5.0)], ("a",)),
        ([Deed("a", "rate", 2.0)], ()),
        ([Deed("a", "rate")], ("a",)),
        ([Deed("a", "dismiss"), Deed("a", "like")], ()),
        ([Deed("a", "like"), Deed("a", "dismiss")], ("a",)),
        ([Deed("a", "view"), Deed("a", "dismiss")], ()),
        ([Deed("b", "like"), Deed("a", "purchase")], ("b", "a")),
    ],
)
def test_the_newest_verdict_on_an_item_counts(deeds: list[Deed], liked: tuple[str, ...]) -> None:
    assert taste(deeds, liked_rating=4).liked == liked


@given(deeds=DEEDS)
def test_every_item_is_touched_once_and_the_liked_are_among_them(deeds: list[Deed]) -> None:
    read = taste(deeds, liked_rating=4)
    assert set(read.touched) == {deed.item_id for deed in deeds}
    assert len(set(read.liked)) == len(read.liked)
    assert set(read.liked) <= set(read.touched)


@pytest.mark.parametrize(
    ("liked", "interests", "rung"),
    [(0, (), 0), (0, ("space",), 1), (1, (), 2), (5, ("space",), 2), (6, (), 3)],
)
def test_the_rung_follows_from_what_is_known(liked: int, interests: tuple[str, ...], rung: int) -> None:
    asked = Asked(interests=interests, liked=tuple(map(str, range(liked))))
    assert weigh(asked, Taste(), 4).rung == rung


def test_topics_of_the_caller_are_a_stated_interest_and_an_empty_list_is_none() -> None:
    assert weigh(Asked(topics=("space",)), Taste(), 4).rung == 1
    assert weigh(Asked(topics=()), Taste(), 4).rung == 0


def test_what_the_request_says_wins_over_what_is_stored() -> None:
    evidence = weigh(Asked(liked=("a",), deeds=(Deed("b", "dismiss"),)), Taste(liked=("b", "c"), touched=("b", "c", "d")), 4)
    assert evidence.liked == ("a", "c")
    assert set(evidence.excluded) == {"a", "b", "c", "d"}


def test_unknown_items_are_no_evidence() -> None:
    evidence = weigh(Asked(liked=("a", "b")), Taste(), 4)
    assert (evidence.without(["a"]).rung, evidence.without(["a", "b"]).rung) == (2, 0)


def test_no_more_is_sent_than_the_retriever_takes() -> None:
    many = tuple(map(str, range(20_000)))
    evidence = weigh(Asked(), Taste(liked=many, touched=many), 4)
    assert (len(evidence.liked), len(evidence.excluded)) == (MAX_LIKED, MAX_EXCLUDED)
