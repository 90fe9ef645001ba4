import base64
import json
import struct
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from contracts.retriever import SpaceRow
from retriever.errors import SpaceRowRefused, SpaceUnknown
from retriever.spaces import Neighbours, Upload, Vectors
from retriever.upload import SpaceUpload


def read(space: str, *lines: Any) -> Upload:
    upload = SpaceUpload(space)
    for line in lines:
        upload.feed((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n")
    return upload.finish()


GOOD = {"id": "a", "neighbours": [["b", 0.5], ["c", -1]]}


def test_neighbours_become_lists_by_number() -> None:
    upload = read("collaborative", {"id": "z", "neighbours": [["a", 2]]}, GOOD, {"id": "e", "neighbours": []})
    assert isinstance(upload.content, Neighbours)
    assert (upload.rows, set(upload.ids)) == (3, set("zaebc"))
    lists = {
        name: {upload.ids[upload.content.others[at]]: float(upload.content.weights[at]) for at in range(*upload.content.of(n).indices(99))}
        for n, name in enumerate(upload.ids)
    }
    assert lists == {"z": {"a": 2.0}, "a": {"b": 0.5, "c": -1.0}, "e": {}, "b": {}, "c": {}}


def test_vectors_are_scaled_to_length_1_and_may_be_base64() -> None:
    packed = base64.b64encode(struct.pack("<2f", 3, 4)).decode()
    upload = read("collaborative", {"id": "a", "embedding": [0, 2]}, {"id": "b", "embedding": packed})
    assert isinstance(upload.content, Vectors)
    assert upload.content.vectors == pytest.approx(np.array([[0, 1], [0.6, 0.8]]))


@pytest.mark.parametrize("space", ["collaborative", "popular"])
def test_an_upload_without_rows_is_an_empty_space(space: str) -> None:
    upload = read(space, b"", b"  ")
    assert (upload.kind, upload.rows, Upload.from_bytes(upload.kind, upload.to_bytes())) == ("empty", 0, upload)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "not JSON"),
        (b'{"id": "b", "neighbours": [["c", NaN]]}', "NaN is not a number of JSON"),
        (b'\xff{"id": "b"}', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[1]", r"it is \[1\]; send a JSON object"),
        ({"id": "b"}, "exactly one of"),
        ({"id": "b", "neighbours": [], "score": 1}, "exactly one of"),
        ({"id": "b", "neighbours": [], "colour": 1}, "exactly one of"),
        ({"id": "b c", "neighbours": []}, "'b c' is not an id"),
        ({"id": ".", "neighbours": []}, r"'\.' is not an id"),
        ({"id": "b", "neighbours": [["..", 1]]}, r"'\.\.' is not an id"),
        ({"id": 7, "neighbours": []}, "7 is not an id"),
        ({"neighbours": []}, "None is not an id"),
        ({"id": "a", "neighbours": []}, "has had a row already"),
        ({"id": "b", "neighbours": {"c": 1}}, "not a list of"),
        ({"id": "b", "neighbours": [["c"]]}, "not a list of"),
        ({"id": "b", "neighbours": [[["c"], 1]]}, r"\['c'\] is not an id"),
        ({"id": "b", "neighbours": [["c", 1], ["c", 2]]}, "names an id twice"),
        ({"id": "b", "neighbours": [["c", "1"]]}, "a weight is '1'"),
        ({"id": "b", "neighbours": [["c", None]]}, "a weight is None"),
        ({"id": "b", "neighbours": [["c", True]]}, "a weight is True"),
        (b'{"id": "b", "neighbours": [["c", 1e39]]}', "beyond 1e30"),
        ({"id": "b", "neighbours": [["c", 10**400]]}, "beyond 1e30"),
        ({"id": "b", "embedding": [1, 0]}, "the rows before it are neighbours"),
        ({"id": "b", "score": 1}, "the space collaborative takes neighbours or vectors"),
    ],
)
def test_a_bad_row_is_named_with_number_reason_and_remedy(line: Any, reason: str) -> None:
    with pytest.raises(SpaceRowRefused, match=reason) as refused:
        read("collaborative", GOOD, b"", line)
    assert refused.value.row == 3
    assert str(refused.value).startswith("Row 3: ")


@pytest.mark.parametrize("embedding", [[], [0, 0], ["1"], [1, 2, 3], "AAA", "AAAA", "AADAfwAAgD8=", {"a": 1}, [1e200, 0]])
def test_an_embedding_that_is_no_direction_is_refused(embedding: Any) -> None:
    with pytest.raises(SpaceRowRefused, match="Row 2"):
        read("collaborative", {"id": "a", "embedding": [1, 0]}, {"id": "b", "embedding": embedding})


@pytest.mark.parametrize("score", ["1", True, [1], 1e31])
def test_a_score_that_is_no_number_is_refused(score: Any) -> None:
    with pytest.raises(SpaceRowRefused, match="score is"):
        read("popular", {"id": "a", "score": score})


def test_only_collaborative_and_popular_take_uploads() -> None:
    with pytest.raises(SpaceUnknown, match="collaborative, popular"):
        SpaceUpload("content")


@given(cuts=st.lists(st.integers(0, 200), max_size=8))
def test_lines_are_read_whole_wherever_the_stream_is_cut(cuts: list[int]) -> None:
    body = b"".join(json.dumps({"id": f"é{n}", "score": n}, ensure_ascii=False).encode() + b"\n" for n in range(8))
    upload, places = SpaceUpload("popular"), sorted({0, len(body), *(cut for cut in cuts if cut < len(body))})
    for start, end in pairwise(places):
        upload.feed(body[start:end])
    assert upload.finish().ids == tuple(f"é{n}" for n in range(8))


IDS = st.one_of(
    st.text(max_size=5),
    st.text(min_size=1, max_size=3, alphabet="./a"),
    st.text(min_size=127, max_size=129, alphabet="ab"),
    st.integers(),
    st.none(),
)
NUMBERS = st.one_of(st.floats(-1e29, 1e29), st.integers(-5, 5), st.just("x"), st.none())
ROWS = st.fixed_dictionaries(
    {"id": IDS},
    optional={
        "neighbours": st.one_of(st.none(), st.lists(st.tuples(IDS, NUMBERS), max_size=3, unique_by=lambda pair: pair[0])),
        "embedding": st.one_of(st.lists(NUMBERS, max_size=3)),
        "score": NUMBERS,
        "more": st.none(),
    },
)


@pytest.mark.parametrize("name", ["...", ".a", "a.", "..a"])
def test_an_id_may_have_points(name: str) -> None:
    assert read("popular", {"id": name, "score": 1}).ids == (name,)


@given(row=ROWS)
def test_the_reading_by_hand_takes_nothing_that_the_contract_refuses(row: dict[str, Any]) -> None:
    line = json.dumps(row).encode()
    space = "popular" if row.get("score") is not None else "collaborative"
    try:
        read(space, line)
    except SpaceRowRefused:
        taken = False
    else:
        taken = True
    try:
        agreed = SpaceRow.model_validate_json(line)
    except ValidationError:
        assert not taken
    else:
        given_fields = [value for value in (agreed.neighbours, agreed.embedding, agreed.score) if value is not None]
        assert taken == (len(given_fields) == 1 and (agreed.embedding is None or bool(np.any(np.array(agreed.embedding, np.float32)))))
