"""The gateway and the retriever read the same filter in the same way."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from contracts.filters import Filter
from gateway.filters import passes
from retriever.filters import expression, meets

FILTER: TypeAdapter[dict[str, Any]] = TypeAdapter(Filter)
WORDS = st.sampled_from(["a", "b", "1", "true"])
SCALARS = st.booleans() | st.integers(-2, 2) | st.sampled_from([0.5, 1.0, 10**20]) | WORDS
ATTRIBUTES = st.dictionaries(st.sampled_from(["x", "y", "not", "and"]), SCALARS | st.lists(WORDS, max_size=2).map(tuple), max_size=3)
OPERATORS: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(("gt", "gte", "lt", "lte"), st.integers(-2, 2)),
    **dict.fromkeys(("in", "any", "none"), st.lists(SCALARS, min_size=1, max_size=3)),
    "eq": SCALARS,
    "contains": WORDS,
    "exists": st.booleans(),
}
CONDITIONS = SCALARS | st.fixed_dictionaries({}, optional=OPERATORS).filter(bool)
SIMPLE = st.dictionaries(st.sampled_from(["x", "y", "id", "not", "and", "or", "gte", "any"]), CONDITIONS, min_size=1, max_size=2)
FILTERS = st.recursive(
    SIMPLE,
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "and": st.lists(inner, min_size=1, max_size=2),
            "or": st.lists(inner, min_size=1, max_size=2),
            "not": inner,
            "x": CONDITIONS,
        },
    ).filter(bool),
    max_leaves=4,
)


@given(FILTERS, ATTRIBUTES, st.sampled_from(["a", "item"]))
def test_an_item_passes_in_the_gateway_when_it_meets_the_expression_in_the_retriever(sent: Any, attributes: Any, item_id: str) -> None:
    try:
        kept = FILTER.validate_python(sent)
    except ValidationError:  # such as {"not": {"any": "a"}}, which is a condition on an attribute called "not"
        return
    assert passes(item_id, attributes, kept) is meets(expression(kept), item_id, attributes)
