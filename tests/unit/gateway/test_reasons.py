import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.candidates import Candidate, SourceScore
from gateway.reasons import reasons

TITLES, LIKED = {"dune": "Dune"}, ("dune", "emma")


def candidate(**sources: tuple[float, str | None]) -> Candidate:
    return Candidate("x", "X", {}, 1.0, {name: SourceScore(score, found_by) for name, (score, found_by) in sources.items()})


@pytest.mark.parametrize(
    ("source", "found_by", "of_user", "text"),
    [
        ("content", "space opera", True, 'Matches "space opera"'),
        ("content", None, True, "Matches your interests"),
        ("similar", "dune", True, 'Because you like "Dune"'),
        ("similar", "emma", True, "Because of an item you like"),
        ("similar", "dune", False, 'Close to "Dune"'),
        ("collaborative", "dune", True, 'Liked by people who like "Dune"'),
        ("collaborative", "emma", True, "Liked by people who like an item you like"),
        ("collaborative", "space opera", True, 'Liked by people who like "space opera"'),
        ("popular", None, True, "Popular now"),
    ],
)
def test_each_source_has_its_sentence(source: str, found_by: str | None, of_user: bool, text: str) -> None:
    (reason,) = reasons(candidate(**{source: (2.0, found_by)}), {source: 1.0}, LIKED, TITLES, of_user=of_user)
    assert (reason.text, reason.share) == (text, 1.0)


def test_a_share_is_weight_times_standard_score_over_the_positive_ones() -> None:
    found = candidate(content=(2.0, "space"), popular=(4.0, None), similar=(-3.0, "dune"))
    said = reasons(found, {"content": 1.0, "popular": 0.25, "similar": 1.0}, LIKED, TITLES, of_user=True)
    assert [(reason.source, reason.share) for reason in said] == [("content", 0.6667), ("popular", 0.3333)]
    assert (said[0].topic, said[0].item_id) == ("space", None)


def test_an_item_below_every_mean_still_has_a_reason() -> None:
    found = candidate(content=(-2.0, "space"), popular=(-1.0, None))
    (reason,) = reasons(found, {"content": 1.0, "popular": 1.0}, LIKED, TITLES, of_user=True)
    assert (reason.source, reason.share) == ("popular", 0.0)


@given(scores=st.dictionaries(st.sampled_from(["content", "similar", "collaborative", "popular"]), st.floats(-9, 9), min_size=1))
def test_shares_are_at_most_one_together_and_fall(scores: dict[str, float]) -> None:
    found = candidate(**{name: (score, None) for name, score in scores.items()})
    shares = [reason.share for reason in reasons(found, dict.fromkeys(scores, 1.0), (), {}, of_user=True)]
    assert shares
    assert sum(shares) <= 1.001
    assert shares == sorted(shares, reverse=True)
