"""Events become a matrix."""

from pipelines.interactions import Interactions

EVENTS = [
    {"user_id": "u", "item_id": "b", "type": "like"},
    {"user_id": "u", "item_id": "b", "type": "view"},
    {"user_id": "v", "item_id": "a", "type": "purchase"},
    {"user_id": "v", "item_id": "b", "type": "dismiss"},
]


def test_a_repeated_touch_counts_once_and_a_dismissal_never() -> None:
    interactions = Interactions.from_events(EVENTS)
    assert interactions.items == ("a", "b")
    assert interactions.matrix.toarray().tolist() == [[0, 1], [1, 0]]


def test_no_events_give_an_empty_matrix() -> None:
    interactions = Interactions.from_events([])
    assert interactions.items == ()
    assert interactions.matrix.shape == (0, 0)


def test_events_of_items_that_are_gone_can_be_left_out() -> None:
    known = Interactions.from_events(EVENTS).of({"b"})
    assert known.items == ("b",)
    assert known.matrix.toarray().tolist() == [[1], [0]]
