import numpy as np
import pytest

from retriever.filters import AnyOf, Columns, Condition, NoneOf, Range, passing, rows_of
from retriever.items import AttributeValue

ITEMS: dict[str, dict[str, AttributeValue]] = {
    "a": {"year": 1999, "genres": ("crime", "poetry"), "read": True},
    "b": {"year": 2005.5, "genres": ("crime",), "read": False, "note": "crime"},
    "c": {"genres": (), "year": "1999"},
    "d": {"year": 1, "huge": 10**400},
    "e": {"read": 1},
}


def ids(name: str, condition: Condition, count: int = len(ITEMS)) -> str:
    columns, row_of = Columns(), {item: row for row, item in enumerate(ITEMS)}
    for row, attributes in enumerate(ITEMS.values()):
        columns.append(row, attributes)
    mask = passing({name: condition}, columns, row_of, np.ones(count, np.bool_))
    return "".join(np.array(list(ITEMS))[:count][mask])


@pytest.mark.parametrize(
    ("name", "condition", "expected"),
    [
        ("genres", AnyOf(("crime",)), "ab"),
        ("genres", AnyOf(("poetry", "space")), "a"),
        ("genres", NoneOf(("poetry",)), "bcde"),
        ("note", AnyOf(("crime",)), "b"),
        ("year", AnyOf((1999,)), "a"),
        ("year", AnyOf(("1999",)), "c"),
        ("year", AnyOf((1999.0, "1999", 7)), "ac"),
        ("year", Range(1999, None), "ab"),
        ("year", Range(None, 1999), "ad"),
        ("year", Range(1999, 1999), "a"),
        ("year", NoneOf((1, 1999)), "bce"),
        ("read", AnyOf((True,)), "a"),
        ("read", AnyOf((1,)), "e"),
        ("read", NoneOf((False,)), "acde"),
        ("read", Range(0, 2), "e"),
        ("huge", Range(1, None), "d"),
        ("id", AnyOf(("b", "e", "unheard-of", 1)), "be"),
        ("id", NoneOf(("b",)), "acde"),
        ("id", Range(0, 9), ""),
        ("nothing_has_this", AnyOf(("x", 0, True)), ""),
        ("nothing_has_this", Range(None, 0), ""),
        ("nothing_has_this", NoneOf(("x",)), "abcde"),
    ],
)
def test_a_condition_lets_pass(name: str, condition: Condition, expected: str) -> None:
    assert ids(name, condition) == expected


def test_a_reader_sees_only_the_rows_it_knows_of() -> None:
    assert ids("genres", AnyOf(("crime",)), count=1) == "a"
    assert ids("year", Range(None, 2100), count=2) == "ab"


def test_dead_rows_never_pass() -> None:
    columns = Columns()
    columns.append(0, {"year": 1})
    assert not passing({"year": AnyOf((1,))}, columns, {}, np.zeros(1, np.bool_)).any()


def test_rows_of_unknown_ids_are_left_out() -> None:
    assert rows_of(["b", "x", "a"], {"a": 0, "b": 1}).tolist() == [1, 0]
