"""The bounded scalar types of the wire."""

import base64
import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from contracts.gateway import RecommendationRequest
from contracts.wire import Embedding, Id, Text

FLOATS = st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=64)
EMBEDDING: TypeAdapter[tuple[float, ...]] = TypeAdapter(Embedding)


@given(FLOATS)
def test_an_embedding_survives_the_wire_bit_for_bit(values: list[float]) -> None:
    assert EMBEDDING.validate_json(EMBEDDING.dump_json(tuple(values))) == tuple(values)


@given(FLOATS)
def test_a_list_of_numbers_is_the_same_embedding_as_its_base64(values: list[float]) -> None:
    packed = base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()
    assert EMBEDDING.validate_python(values) == EMBEDDING.validate_python(packed)


@pytest.mark.parametrize("bad", [[math.nan], [math.inf], [], "not base64!", "AAA=", [1.0] * 4097])
def test_what_is_no_embedding_is_refused(bad: object) -> None:
    with pytest.raises(ValidationError):
        EMBEDDING.validate_python(bad)


@given(st.text(max_size=600))
def test_a_text_is_one_line_of_words_or_refused(text: str) -> None:
    adapter: TypeAdapter[str] = TypeAdapter(Text)
    try:
        kept = adapter.validate_python(text)
    except ValidationError:
        return
    assert kept == " ".join(text.split())
    assert 1 <= len(kept) <= 500
    kept.encode()


@pytest.mark.parametrize("bad", ["", "a b", "a/b", "a?b", "x" * 129, "a\x00", ".", ".."])
def test_an_id_that_would_break_a_path_is_refused(bad: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Id).validate_python(bad)


def test_an_unknown_field_is_refused_rather_than_ignored() -> None:
    with pytest.raises(ValidationError, match="intrests"):
        RecommendationRequest.model_validate({"intrests": ["dune"]})


def test_a_text_that_is_too_long_is_told_so_in_characters() -> None:
    with pytest.raises(ValidationError, match="at most 500 characters"):
        TypeAdapter(Text).validate_python("x" * 501)
