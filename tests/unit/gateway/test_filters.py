from typing import Any

import pytest

from gateway.filters import passes

BOOK = {"year": 1965, "genres": ("space", "classics"), "language": "en", "series": True}


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({}, True),
        ({"language": "en"}, True),
        ({"language": "de"}, False),
        ({"genres": "space"}, True),
        ({"genres": {"any": ["navy", "classics"]}}, True),
        ({"genres": {"any": ["navy"]}}, False),
        ({"genres": {"none": ["navy"]}}, True),
        ({"genres": {"none": ["space"]}}, False),
        ({"publisher": {"none": ["Ace"]}}, True),
        ({"publisher": {"any": ["Ace"]}}, False),
        ({"year": {"gte": 1965, "lte": 1965}}, True),
        ({"year": {"gte": 1966}}, False),
        ({"language": {"gte": 1}}, False),
        ({"publisher": {"lte": 1}}, False),
        ({"series": True}, True),
        ({"series": 1}, False),
        ({"series": {"gte": 0}}, False),
        ({"id": {"any": ["dune", "emma"]}}, True),
        ({"id": {"none": ["dune"]}}, False),
        ({"language": "en", "year": {"lte": 1900}}, False),
        ({"year": {"gt": 1965}}, False),
        ({"year": {"gt": 1964, "lt": 1966}}, True),
        ({"year": {"lt": 1965}}, False),
        ({"language": {"eq": "en"}}, True),
        ({"language": {"in": ["de", "en"]}}, True),
        ({"genres": {"contains": "space"}}, True),
        ({"language": {"contains": "en"}}, False),
        ({"publisher": {"exists": False}, "year": {"exists": True}}, True),
        ({"year": {"exists": False}}, False),
        ({"or": [{"language": "de"}, {"year": 1965}]}, True),
        ({"or": [{"language": "de"}, {"year": 1966}]}, False),
        ({"and": [{"language": "en"}, {"year": 1966}]}, False),
        ({"not": {"language": "de", "year": 1965}}, True),
        ({"not": {"id": "dune"}}, False),
        ({"not": {"gte": 1}}, False),
        ({"or": "word"}, False),
    ],
)
def test_an_item_passes_when_every_condition_holds(conditions: dict[str, Any], expected: bool) -> None:
    assert passes("dune", BOOK, conditions) is expected
