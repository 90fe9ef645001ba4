from retriever.filters import meets
from retriever.grouping import Groups
from retriever.items import AttributeValue, Item
from retriever.rankfusion import Hit


def admitted(groups: Groups, *values: AttributeValue | None) -> list[int]:
    """The places of those that are admitted."""
    items = {str(at): Item(str(at), "t", {} if value is None else {"author": value}) for at, value in enumerate(values)}
    return [int(hit.id) for hit in groups.admitted([Hit(name, 0.0) for name in items], items)]


def test_a_value_is_admitted_as_often_as_the_limit_says() -> None:
    assert admitted(Groups("author", 2), "x", "y", "x", "x", "y", "z") == [0, 1, 2, 4, 5]


def test_a_list_belongs_to_the_groups_of_all_its_words_once_each() -> None:
    assert admitted(Groups("author", 1), ("x", "y", "x"), ("y", "z"), "z", ("x",), ()) == [0, 2, 4]


def test_items_without_the_attribute_are_not_limited() -> None:
    assert admitted(Groups("author", 1), None, "x", None, None) == [0, 1, 2, 3]


def test_numbers_group_with_equal_numbers_and_never_with_truth_values() -> None:
    assert admitted(Groups("author", 1), 1, True, 1.0, False, 0, "1") == [0, 1, 3, 4, 5]


def test_the_filter_leaves_out_full_groups_and_nothing_else() -> None:
    groups = Groups("author", 1)
    assert groups.still_open(None) is None
    admitted(groups, ("x", "y"), 3)
    wanted = groups.still_open(None)
    assert wanted is not None
    values: list[AttributeValue] = ["x", "z", ("y", "z"), ("z",), 3.0, 4]
    assert [meets(wanted, "id", {"author": value}) for value in values] == [False, True, False, True, False, True]
    assert meets(wanted, "id", {})
