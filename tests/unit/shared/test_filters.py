"""The filter language on the wire."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from contracts.filters import MOST_CONDITIONS, MOST_LEVELS, SCHEMA, Filter
from contracts.gateway import RecommendationRequest

FILTER: TypeAdapter[dict[str, Any]] = TypeAdapter(Filter)
ASKED: Any = {"genre": "fantasy", "year": {"gte": 1990, "lt": 2000}, "or": [{"a": 1}, {"not": {"b": {"in": ["x", True, 1.5]}}}]}
NAMES = st.sampled_from(["a", "year", "id", "and", "or", "not", "any", "none", "gte", "gt", "in", "eq", "contains", "exists", "a/b", "~"])
HUGE = st.sampled_from([400, 4_200, 5_000]).map(lambda digits: 10**digits)
LEAVES = st.none() | st.booleans() | st.integers() | HUGE | st.floats() | st.text(max_size=8) | st.sampled_from(["\ud800", "1990"])
ANYTHING = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.text(max_size=4), inner, max_size=3))


class Asking(BaseModel):
    filter: Filter = Field(default_factory=dict)


def told(sent: Any) -> list[tuple[str, str]]:
    with pytest.raises(ValidationError) as caught:
        Asking.model_validate({"filter": sent})
    return [(".".join(map(str, fault["loc"])), fault["msg"]) for fault in caught.value.errors()]


def nested(levels: int) -> Any:
    return {"not": nested(levels - 1)} if levels > 1 else {"a": {"gt": 1}}


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"genre": "fantasy", "read": True, "year": 1999, "price": 1.5, "huge": 10**400},
        {"genres": {"any": ["a", 1, False]}, "genre": {"none": ["b"]}, "id": {"any": ["7"]}},
        {"year": {"gte": 1990}, "price": {"lte": 5.5, "gte": 1}},
        {"not": {"gte": 1}, "and": "word", "or": {"any": [1]}},
    ],
)
def test_what_could_be_said_before_is_taken_as_it_was(sent: Any) -> None:
    assert FILTER.validate_python(sent) == sent


def test_an_end_may_be_null_or_a_number_in_quotes_as_before() -> None:
    assert FILTER.validate_python({"year": {"gte": "1990", "lte": None}}) == {"year": {"gte": 1990.0}}


def test_words_are_put_in_one_line_like_those_of_items() -> None:
    sent = {"genre": " space \n opera", "or": [{"tags": {"contains": "a  b"}}, {"tags": {"in": [" c "]}}]}
    assert FILTER.validate_python(sent) == {"genre": "space opera", "or": [{"tags": {"contains": "a b"}}, {"tags": {"in": ["c"]}}]}


@pytest.mark.parametrize(
    ("sent", "field", "message"),
    [
        (
            {"or": [{"a": 1}, {"year": {"gte": "abc"}}]},
            "filter.or.1.year.gte",
            "/filter/or/1/year/gte: 'abc' is not a number; send a number",
        ),
        ({"year": {}}, "filter.year", "/filter/year: says nothing; give at least one of eq"),
        ({"year": {"gte": None}}, "filter.year", "says nothing"),
        ({"year": {"from": 1}}, "filter.year.from", "'from' is not known here; use one of eq, in, any"),
        ({"year": {"gt": float("nan")}}, "filter.year.gt", "nan is not finite"),
        ({"year": 10**5000}, "filter.year", "16610 bits"),
        ({"year": None}, "filter.year", "null is no value"),
        ({"year": [1999]}, "filter.year", "a list of 1 is no value"),
        ({"tags": {"contains": ["a"]}}, "filter.tags.contains", "is not a word"),
        ({"tags": {"exists": 1}}, "filter.tags.exists", "1 is neither true nor false"),
        ({"tags": {"in": "a"}}, "filter.tags.in", "'a' is not a list; send the values in [ ]"),
        ({"tags": {"none": []}}, "filter.tags.none", "has 0 values; give 1 to 1000"),
        ({"tags": {"in": ["a", "b\x00"]}}, "filter.tags.in.1", "NUL"),
        ({"tags": "x" * 501}, "filter.tags", "500"),
        ({"a/b~": 1}, "filter.a/b~", "/filter/a~1b~0: 'a/b~' can not be the name of an attribute"),
        ({"and": []}, "filter.and", "has 0 filters"),
        ({"or": [{}]}, "filter.or.0", "says nothing"),
        ({"or": ["a"]}, "filter.or.0", "'a' is not a filter"),
        ({"not": {}}, "filter.not", "says nothing"),
        ([], "filter", "/filter: a list of 0 is not a filter"),
        ({f"a{place}": 1 for place in range(17)}, "filter", "17 names, and 16 are the most"),
        (nested(MOST_LEVELS + 1), "filter" + ".not" * MOST_LEVELS, "deeper than 8 levels"),
        ({"or": [{"a": 1}] * 40, "and": [{"a": 1}] * 40}, f"filter.and.{MOST_CONDITIONS - 40}.a", "first 64"),
    ],
)
def test_a_fault_is_told_with_its_place_the_value_and_the_remedy(sent: Any, field: str, message: str) -> None:
    ((where, what),) = told(sent)
    assert where == field
    assert message in what


def test_every_fault_is_told_at_once() -> None:
    assert [where for where, _ in told({"a": None, "or": [{"b": {"gt": "x", "lt": "y"}}]})] == [
        "filter.a",
        "filter.or.0.b.gt",
        "filter.or.0.b.lt",
    ]


def test_the_deepest_filter_that_is_allowed_passes() -> None:
    assert FILTER.validate_python(nested(MOST_LEVELS)) == nested(MOST_LEVELS)


@given(ANYTHING)
def test_nothing_but_a_validation_error_comes_of_any_value(sent: Any) -> None:
    try:
        kept = FILTER.validate_python(sent)
    except ValidationError as error:
        written = "".join(fault["msg"] for fault in error.errors())
    else:
        written = json.dumps(kept)
        assert FILTER.validate_json(written) == kept
        assert json.loads(FILTER.dump_json(kept)) == kept
    assert written.encode()


@given(
    st.text(alphabet='{}[]":,\\ud0andortgelisx1.-e ', max_size=40)
    | st.integers(0, 400).map(lambda depth: '{"not":' * depth + "1" + "}" * depth)
)
def test_nothing_but_a_validation_error_comes_of_any_text(sent: str) -> None:
    try:
        kept = FILTER.validate_json(sent)
    except ValidationError:
        return
    assert isinstance(kept, dict)


@given(ANYTHING)
def test_what_is_taken_of_new_filters_is_what_the_schema_describes(sent: Any) -> None:
    try:
        kept = FILTER.validate_python(sent)
    except ValidationError:
        return
    if not {"and", "or", "not"} & set(json.dumps(kept).split('"')):
        Draft202012Validator(SCHEMA).validate(kept)


@pytest.mark.parametrize(
    "sent", [{"a": {}}, {"a": {"x": 1}}, {"a-b": 1}, {"or": {"a": 1}}, {"or": []}, {"or": [{}]}, {"a": {"in": []}}, {"a": None}]
)
def test_the_schema_refuses_what_is_no_filter(sent: Any) -> None:
    assert not Draft202012Validator(SCHEMA).is_valid(sent)
    assert Draft202012Validator(SCHEMA).is_valid(ASKED)


def test_a_request_describes_its_filter() -> None:
    described = RecommendationRequest.model_json_schema()["properties"]["filter"]
    assert {"and", "or", "not"} <= described["properties"].keys()
    assert RecommendationRequest.model_validate({"filter": ASKED}).filter == ASKED
