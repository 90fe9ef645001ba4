import base64
import json
import sys
import unicodedata
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.unit.retriever.serving import ndjson, packed, unit

from contracts.retriever import StoredItem, VectorLine
from retriever.api_lines import item_lines
from retriever.api_plain import ItemRow, VectorRow, reader

items, vectors = reader(ItemRow), reader(VectorRow)
WORDS = st.text(max_size=6) | st.sampled_from(["a", "two words", " a", "a  b", "a\x1cb", "a\x85b", ".", "..", ".a", "a/b", "x" * 501])
VALUES = WORDS | st.lists(WORDS, max_size=3) | st.booleans() | st.integers() | st.floats() | st.none() | st.lists(st.integers(), min_size=1)
ITEMS = st.fixed_dictionaries(
    {"id": WORDS, "title": WORDS},
    optional={"text": WORDS | st.none(), "attributes": st.dictionaries(st.sampled_from(["year", "a_b", "9", ""]), VALUES, max_size=3)},
)


def line(item: Any, embedding: Any = None) -> bytes:
    return json.dumps({"item": item, "embedding": packed(unit(7)) if embedding is None else embedding}).encode()


def row(name: str = "a", **more: Any) -> dict[str, Any]:
    return {"id": name, "title": "T", **more}


@given(ITEMS)
def test_what_is_plain_is_what_the_contract_reads_and_of_the_same_types(item: dict[str, Any]) -> None:
    if (read := items([line(item)])) is None:
        return
    (plain,), (embedding,) = read
    stored = StoredItem.model_validate_json(line(item))
    assert vars(stored.item) == {name: getattr(plain.item, name) for name in ("id", "title", "attributes", "text")}
    assert [type(value) for value in stored.item.attributes.values()] == [type(value) for value in plain.item.attributes.values()]
    assert np.frombuffer(embedding, "<f4").tolist() == list(stored.embedding)


@given(WORDS)
def test_a_plain_vector_is_what_the_contract_reads(name: str) -> None:
    written = json.dumps({"id": name, "embedding": packed(unit(7))}).encode()
    if (read := vectors([written])) is not None:
        assert read[0][0].id == VectorLine.model_validate_json(written).id


def test_no_white_space_and_no_control_character_is_plain_but_single_spaces() -> None:
    odd = [chr(code) for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)) in ("Cc", "Zs", "Zl", "Zp")]
    assert {"\x1c", "\x85", "\xa0", "\u2028", "\u3000"} < {*odd}
    assert [char for char in odd if items([line(row(title=f"a{char}b"))])] == [" "]
    assert [char for char in odd if items([line(row(f"a{char}b"))])] == []


def test_the_lines_that_programs_write_are_plain() -> None:
    written = [
        row("a", attributes={"n": 1, "x": 0.5, "yes": True, "words": ["a b", "ü"], "word": "w"}, text="Two\nlines."),
        row("b", text=None),
        row("ü-1", attributes={}),
    ]
    for lines in ([line(item) for item in written], [line(item).replace(b": ", b":").replace(b", ", b",") for item in written]):
        read = items(lines)
        assert read
        assert [item.item.id for item in read[0]] == ["a", "b", "ü-1"]
        assert read[0][0].item.attributes == {"n": 1, "x": 0.5, "yes": True, "words": ("a b", "ü"), "word": "w"}
        assert {*read[1]} == {np.array(unit(7), "<f4").tobytes()}


OF_URLS = base64.urlsafe_b64encode(b"\xff\xff\xfe" * 4).decode()


@pytest.mark.parametrize(
    "odd",
    [
        line(row("b"), unit(7)),
        line(row("b"), packed([1.0])),
        line(row("b"), packed(unit(7)).rstrip("=")),
        line(row("b"), ""),
        line(row("b")).replace(b'="}', b'\\u003d"}'),
        json.dumps({"embedding": packed(unit(7)), "item": row("b")}).encode(),
        line(row("b"))[:-1] + b', "more": ""}',
        line(row("b"))[:-1] + b', "embedding": [1, 0]}',
        b'{"item": {"id": "b", "title": "T", "text": "' + packed(unit(7)).encode() + b'"}',
        b'{"item": {"id": "b", "title": "T"}, "embedding": "\\"' + packed(unit(7)).encode() + b'"}',
        b"{" + b" " * 60 + b'"}',
        b'{"}',
        line(row("b")) + b"," + line(row("c")),
    ],
)
def test_one_line_that_is_not_plain_leaves_the_batch_to_the_careful_reading(odd: bytes) -> None:
    assert items([line(row())]) is not None
    assert items([line(row()), odd, line(row("c"))]) is None
    assert items([odd, line(row("c"))]) is None


@pytest.mark.parametrize("encoded", [OF_URLS, "AAAA" * 4 + "_-8=", "AAAA" * 5 + "AA", "AA,AAAAAAAAAAAAA"])
def test_base64_that_the_contract_refuses_is_not_plain(encoded: str) -> None:
    with pytest.raises(ValidationError):
        StoredItem.model_validate_json(line(row(), encoded))
    assert items([line(row(), encoded)]) is None


@pytest.mark.parametrize("end", ["", '"', "}", '"}'])
def test_lines_torn_within_a_string_are_refused_although_their_number_is_right(end: str) -> None:
    """Joined by commas alone these were rows, as many as lines."""
    torn = [b'{"item": {"id": "a", "title": "T' + end.encode() + b"}", b'{"}, "embedding": "' + packed(unit(7)).encode() + b'"}']
    body = (
        ndjson(*[json.loads(line(row(f"i{at}"))) for at in range(3)]) + b"\n" + b"\n".join([*torn, line(row("b")) + b"," + line(row("c"))])
    )
    lines = item_lines()
    (batch,) = [*lines.feed(body), *lines.finish()]
    assert [item.id for item in batch.rows[0]] == ["i0", "i1", "i2"]
    assert lines.refused is not None
    assert lines.refused[0] == 4
