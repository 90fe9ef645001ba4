import math

from hypothesis import given
from hypothesis import strategies as st

from gateway.topics import Expansion, Topics, of_caller, queries, texts, used

WORDS = st.lists(st.sampled_from(["a", "b", "c", "d", "e"]), max_size=4, unique=True)


class Everything(dict[str, str]):
    """Knows an embedding of every text."""

    def __contains__(self, text: object) -> bool:
        return True

    def __missing__(self, text: str) -> str:
        return f"embedding of {text}"


def weights(interests: list[str], topics: Topics, interest_weight: float = 0.7) -> dict[str, float]:
    return {query.label: round(query.weight, 6) for query in queries(interests, topics, Everything(), interest_weight)}


def test_an_interest_keeps_its_part_and_its_topics_share_the_rest() -> None:
    topics = Topics((Expansion("space", ("empire", "robots"), "llm"),))
    assert weights(["space"], topics) == {"space": 0.7, "empire": 0.15, "robots": 0.15}


def test_an_interest_without_topics_keeps_all_of_its_part() -> None:
    topics = Topics((Expansion("space", ("empire",), "llm"), Expansion("navy", (), "none")))
    assert weights(["space", "navy"], topics) == {"space": 0.35, "empire": 0.15, "navy": 0.5}


def test_topics_of_the_caller_share_what_the_interests_leave_or_all() -> None:
    assert weights(["space"], of_caller(["empire", "robots"])) == {"space": 0.7, "empire": 0.15, "robots": 0.15}
    assert weights([], of_caller(["empire", "robots"])) == {"empire": 0.5, "robots": 0.5}
    assert weights(["space"], of_caller([])) == {"space": 1.0}


def test_a_text_that_comes_twice_is_asked_once_with_both_weights() -> None:
    topics = Topics((Expansion("space", ("empire",), "llm"), Expansion("empire", ("space",), "llm")))
    assert weights(["space", "empire"], topics) == {"space": 0.5, "empire": 0.5}
    assert texts(topics) == ["empire", "space"]


@given(interests=WORDS, own=WORDS, interest_weight=st.floats(0.01, 1))
def test_the_weights_are_positive_and_sum_to_one(interests: list[str], own: list[str], interest_weight: float) -> None:
    for topics in (of_caller(own), Topics(tuple(Expansion(interest, tuple(own), "llm") for interest in interests))):
        asked = queries(interests, topics, Everything(), interest_weight)
        assert all(query.weight > 0 for query in asked)
        assert not asked or math.isclose(sum(query.weight for query in asked), 1)


def test_only_topics_that_were_searched_for_are_shown() -> None:
    topics = Topics((Expansion("space", ("empire", "robots"), "llm", "m"),))
    asked = queries(["space"], topics, {"space": "-", "robots": "-"}, 0.7)
    assert [(topic.text, topic.interest, topic.source, topic.model) for topic in used(topics, asked)] == [("robots", "space", "llm", "m")]
    assert used(topics, queries(["space"], topics, Everything(), 1.0)) == ()
