import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError
from tests.unit.retriever.serving import ndjson, packed, unit

from contracts.retriever import PatchLine, StoredItem, VectorLine
from retriever.api_lines import BATCH_LINES, LONGEST_LINE, Lines, item_lines, patch_lines, vector_lines
from retriever.backends.protocol import Patch

JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
EMBEDDING = (
    st.sampled_from([[1, 0], [0.6, 0.8], packed([0, 1]), "AAAA", "A", "é", "", [], [1], [1, 0, 0], [2, 0], ["1"], [None], 1, None]) | JSON
)
ID = st.sampled_from(["a", "b", "a b", "..", "", "x" * 129, "\ud800"]) | JSON
FIELDS: dict[str, Any] = {
    "title": st.sampled_from(["T", "", " two  words ", "x" * 501]) | JSON,
    "text": st.sampled_from(["long", "\x00"]) | JSON,
    "attributes": st.dictionaries(st.sampled_from(["year", "genre", "9", "lang"]), JSON | st.just(["x"]), max_size=2) | JSON,
}
ITEM = st.fixed_dictionaries({"id": ID, "title": FIELDS["title"]}, optional={"text": FIELDS["text"], "attributes": FIELDS["attributes"]})


def line(value: Any) -> bytes:
    return json.dumps(value).encode()


def row(at: int) -> dict[str, Any]:
    return {"item": {"id": f"i{at}", "title": "T"}, "embedding": packed(unit(at))}


def read_all(lines: Lines[Any, Any], body: bytes, portion: int = 100) -> list[Any]:
    batches = [batch for at in range(0, len(body), portion) for batch in lines.feed(body[at : at + portion])]
    return [*batches, *lines.finish()]


def is_valid(kind: type[BaseModel], value: Any) -> bool:
    try:
        TypeAdapter(kind).validate_json(line(value))
    except ValidationError:
        return False
    return True


@given(st.fixed_dictionaries({"item": ITEM, "embedding": EMBEDDING}, optional={"more": JSON}) | JSON)
def test_the_lean_reading_of_an_item_takes_what_the_contract_takes(value: Any) -> None:
    lines = item_lines()
    batches = read_all(lines, line(value))
    unit_length = is_valid(StoredItem, value) and abs(np.linalg.norm(StoredItem.model_validate(value).embedding) - 1) <= 1e-3
    assert (lines.refused is None) == unit_length
    if unit_length:
        (items, embeddings), expected = batches[0].rows, StoredItem.model_validate_json(line(value))
        assert [vars(expected.item)[name] for name in ("id", "title", "text")] == [items[0].id, items[0].title, items[0].text]
        assert items[0].attributes == expected.item.attributes
        assert np.array_equal(embeddings[0], np.array(expected.embedding, np.float32))


@given(st.fixed_dictionaries({"id": ID, "embedding": EMBEDDING}))
def test_the_lean_reading_of_a_vector_takes_what_the_contract_takes(value: Any) -> None:
    lines = vector_lines(2)
    batches = read_all(lines, line(value))
    fits = is_valid(VectorLine, value)
    fits = fits and len(vector := VectorLine.model_validate(value).embedding) == 2 and bool(abs(np.linalg.norm(vector) - 1) <= 1e-3)
    assert (lines.refused is None, len(batches)) == (fits, int(fits))


@given(st.fixed_dictionaries({"id": ID}, optional=FIELDS))
def test_a_patch_line_is_read_as_a_merge_patch(value: Any) -> None:
    lines = patch_lines()
    batches = read_all(lines, line(value))
    assert (lines.refused is None) == is_valid(PatchLine, value)
    if batches:
        (patch,) = batches[0].rows
        assert (patch.id, patch.drop_text) == (value["id"], "text" in value and value["text"] is None)
        assert patch.clear_attributes == ("attributes" in value and value["attributes"] is None)
        assert {*patch.attributes} == {*(value.get("attributes") or ())}


def test_what_a_patch_does_not_name_stays() -> None:
    (batch,) = read_all(patch_lines(), ndjson({"id": "a", "attributes": {"year": None, "lang": "en"}}))
    assert batch.rows == [Patch("a", attributes={"year": None, "lang": "en"})]


@given(st.binary(max_size=200), st.integers(1, 50))
def test_any_bytes_are_read_or_refused_with_a_line_and_a_reason(body: bytes, portion: int) -> None:
    lines = item_lines()
    assert read_all(lines, body, portion) == []
    if body.strip():
        assert lines.refused
        assert 1 <= lines.refused[0] <= body.count(b"\n") + 1
        assert lines.refused[1].endswith(".")


@given(st.integers(1, 400), st.integers(0, 30))
def test_portions_do_not_matter(portion: int, count: int) -> None:
    body = b"\n\n".join(line(row(at)) for at in range(count)) + b"\r\n"
    whole, parts = read_all(item_lines(), body, 10**6), read_all(item_lines(), body, portion)
    assert [(batch.last_line, batch.rows[0], batch.rows[1].tolist()) for batch in whole] == [
        (batch.last_line, batch.rows[0], batch.rows[1].tolist()) for batch in parts
    ]
    assert [batch.last_line for batch in whole] == ([2 * count - 1] if count else [])


def test_lines_come_in_batches() -> None:
    batches = read_all(item_lines(), ndjson(*map(row, range(2 * BATCH_LINES + 5))), 10_000)
    assert [(len(batch.rows[0]), batch.last_line) for batch in batches] == [(1_000, 1_000), (1_000, 2_000), (5, 2_005)]
    assert batches[2].rows[0][0].id == "i2000"


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"{", "it is not JSON"),
        (b"[]", "should be an object"),
        (line(row(0) | {"embedding": [2, 0]}), "has the length 2; send embeddings of length 1"),
        (line(row(0) | {"embedding": [1e39, 0]}), "has the length inf"),
        (line(row(0) | {"embedding": [1, 0, 0]}), "has 3 numbers, not 2"),
        (line(row(0) | {"embedding": "AAA"}), "is not base64"),
        (line({"item": {"id": "a b", "title": "t"}, "embedding": [1, 0]}), "item.id"),
    ],
)
def test_the_lines_before_a_bad_one_come_and_none_after_it(bad: bytes, reason: str) -> None:
    lines = item_lines()
    (batch,) = read_all(lines, b"\n".join([line(row(1)), b"", line(row(2)), bad, line(row(3)), b"{"]))
    assert ([item.id for item in batch.rows[0]], batch.last_line, batch.rows[1].shape) == (["i1", "i2"], 3, (2, 2))
    assert lines.refused
    assert lines.refused[0] == 4
    assert reason in lines.refused[1]


def test_an_earlier_bad_embedding_counts_before_a_later_bad_line() -> None:
    lines = item_lines()
    assert [batch.last_line for batch in read_all(lines, ndjson(row(1), row(2) | {"embedding": [3, 0]}, row(3)) + b"\n{")] == [1]
    assert lines.refused
    assert lines.refused[0] == 2


def test_a_line_without_an_end_is_refused_before_it_fills_memory() -> None:
    lines = item_lines()
    for _ in range(LONGEST_LINE // 2**20 + 1):
        lines.feed(b" " * 2**20)
    assert lines.refused == (1, f"it is longer than {LONGEST_LINE} bytes; shorten it.")


@pytest.mark.parametrize(
    "torn",
    [
        [b'{"item": {"id": "a", "title": "T"}', b'"embedding": [1, 0]}'],
        [b'{"item": {"id": "a", "title": "T', b'"}, "embedding": [1, 0]}'],
        [b'{"item": {"id": "a", "title": "T", "attributes": {"g": ["x"', b'"y"]}}, "embedding": [1, 0]}'],
    ],
)
def test_lines_that_are_rows_only_together_are_refused_although_their_number_is_right(torn: list[bytes]) -> None:
    double = b",".join([line(row(1)), line(row(2))])
    lines = item_lines()
    batches = read_all(lines, b"\n".join([line(row(0)), *torn, double]))
    assert [item.id for batch in batches for item in batch.rows[0]] == ["i0"]
    assert lines.refused is not None
    assert lines.refused[0] == 2
