"""The baselines, on a catalogue small enough to check by eye."""

import numpy as np

from pipelines.evaluate import baselines
from pipelines.interactions import Interactions

ITEMS = [
    {"id": "dune", "title": "Dune", "attributes": {"authors": ["Herbert"], "genres": ["space"]}},
    {"id": "emma", "title": "Emma", "attributes": {"authors": ["Austen"], "genres": ["romance"]}},
    {"id": "messiah", "title": "Dune Messiah", "attributes": {"authors": ["Herbert"], "genres": ["space"]}},
    {"id": "persuasion", "title": "Persuasion", "attributes": {"authors": ["Austen"], "genres": ["romance"]}},
]
TOUCHED = [("u", "dune"), ("u", "persuasion"), ("v", "dune"), ("v", "persuasion"), ("w", "persuasion"), ("w", "emma"), ("x", "messiah")]
EVENTS = [{"user_id": user, "item_id": item, "type": "like"} for user, item in TOUCHED]


def ranking(name: str, *seeds: int) -> list[str]:
    scores = baselines.build(ITEMS, Interactions.from_events(EVENTS))[name](seeds)
    return [ITEMS[place]["id"] for place in baselines.top(scores, seeds, 3)]


def test_popularity_ranks_by_count() -> None:
    assert ranking("popularity")[:2] == ["persuasion", "dune"]


def test_text_finds_the_same_author_and_title() -> None:
    assert ranking("TF-IDF of the seeds' text", 0)[0] == "messiah"


def test_collaborative_filtering_finds_what_was_touched_together() -> None:
    assert ranking("item-item CF (cosine)", 0)[0] == "persuasion"
    assert ranking("EASE with dropout, without text", 0)[0] == "persuasion"


def test_seeds_and_what_is_not_allowed_are_never_ranked() -> None:
    scores = np.array([4.0, 3.0, 2.0, 1.0])
    assert baselines.top(scores, [0], 4, np.array([True, True, False, True])).tolist()[:2] == [1, 3]


def test_random_is_another_order_for_every_user() -> None:
    random = baselines.build(ITEMS, Interactions.from_events(EVENTS))["random"]
    assert not np.array_equal(random(()), random(()))
