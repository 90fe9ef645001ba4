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
    ],
)
def test_an_item_passes_when_every_condition_holds(conditions: dict[str, Any], expected: bool) -> None:
    assert passes("dune", BOOK, conditions) is expected
