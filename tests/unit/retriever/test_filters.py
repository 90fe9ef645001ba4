from typing import Any

import pytest

from retriever.filters import EVERYTHING, And, AnyOf, Contains, Exists, Expression, NoneOf, Not, Or, Range, Where, expression, meets
from retriever.items import AttributeValue

ITEMS: dict[str, dict[str, AttributeValue]] = {
    "a": {"year": 1999, "genres": ("crime", "poetry"), "read": True},
    "b": {"year": 2005.5, "genres": ("crime",), "read": False, "note": "crime"},
    "c": {"genres": (), "year": "1999"},
    "d": {"year": 1, "huge": 10**400},
    "e": {"read": 1, "id": "a"},
}


def ids(wanted: Expression) -> str:
    return "".join(name for name, attributes in ITEMS.items() if meets(wanted, name, attributes))


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, "abcde"),
        ({"genres": "crime"}, "ab"),
        ({"genres": {"any": ["poetry", "space"]}}, "a"),
        ({"genres": {"in": ["poetry", "space"]}}, "a"),
        ({"genres": {"none": ["poetry"]}}, "bcde"),
        ({"note": {"eq": "crime"}}, "b"),
        ({"year": 1999}, "a"),
        ({"year": "1999"}, "c"),
        ({"year": {"any": [1999.0, "1999", 7]}}, "ac"),
        ({"year": {"gte": 1999}}, "ab"),
        ({"year": {"gt": 1999}}, "b"),
        ({"year": {"lte": 1999}}, "ad"),
        ({"year": {"lt": 1999, "gt": 0}}, "d"),
        ({"year": {"gte": 1999, "lte": None}}, "ab"),
        ({"year": {"none": [1, 1999]}}, "bce"),
        ({"read": True}, "a"),
        ({"read": 1}, "e"),
        ({"read": {"none": [False]}}, "acde"),
        ({"read": {"gte": 0}}, "e"),
        ({"huge": {"gte": 1}}, "d"),
        ({"huge": 10**401}, "d"),
        ({"genres": {"contains": "crime"}}, "ab"),
        ({"note": {"contains": "crime"}}, ""),
        ({"genres": {"exists": True}}, "abc"),
        ({"genres": {"exists": False}}, "de"),
        ({"year": {"exists": True, "none": [1]}}, "abc"),
        ({"id": {"any": ["b", "e", "unheard-of", 1]}}, "be"),
        ({"id": {"none": ["b"]}}, "acde"),
        ({"id": {"gte": 0}}, ""),
        ({"id": {"exists": True}}, "abcde"),
        ({"id": "a"}, "a"),
        ({"nothing_has_this": {"any": ["x", 0, True]}}, ""),
        ({"nothing_has_this": {"lte": 0}}, ""),
        ({"nothing_has_this": {"none": ["x"]}}, "abcde"),
        ({"genres": "crime", "year": 1999}, "a"),
        ({"or": [{"year": 1}, {"note": "crime"}]}, "bd"),
        ({"or": [{"year": 1}, {"note": "crime"}], "read": False}, "b"),
        ({"and": [{"genres": "crime"}, {"genres": "poetry"}]}, "a"),
        ({"not": {"genres": "crime"}}, "cde"),
        ({"not": {"not": {"or": [{"id": "a"}, {"id": "b"}]}}}, "ab"),
        ({"not": {"none": ["x"]}}, "abcde"),
        ({"not": {"gte": 1}}, ""),
    ],
)
def test_a_filter_lets_pass(said: Any, expected: str) -> None:
    assert ids(expression(said)) == expected


def test_an_and_of_nothing_is_everything_and_an_or_of_nothing_is_nothing() -> None:
    assert (ids(EVERYTHING), ids(Or(())), ids(Not(EVERYTHING))) == ("abcde", "", "")


def test_every_operator_has_its_expression() -> None:
    said: Any = {"x": {"gt": 1, "lte": 2, "in": ["a"], "none": [True], "contains": "w", "exists": False}, "not": {"y": 3}}
    wanted = (Range(gt=1, lte=2), AnyOf(("a",)), NoneOf((True,)), Contains("w"), Exists(False))
    assert expression(said) == And((*(Where("x", one) for one in wanted), Not(Where("y", AnyOf((3,))))))
