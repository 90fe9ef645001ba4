"""Bad input is refused with problem+json that names the value and the remedy, and nothing is stored."""

import json
from typing import Any

import httpx2
import pytest

BAD_REQUESTS: dict[str, tuple[dict[str, Any], str]] = {
    "an interest that is too long": ({"interests": ["x" * 501]}, "500"),
    "a blank interest": ({"interests": ["  "]}, "blank"),
    "too many interests": ({"interests": ["a"] * 6}, "5"),
    "k of zero": ({"k": 0}, "(got 0)"),
    "k beyond the bound": ({"k": 101}, "100"),
    "a k that is no number": ({"k": "many"}, "many"),
    "an unknown field": ({"intrests": ["dune"]}, "intrests"),
    "a deadline below the bound": ({"deadline_ms": 1}, "20"),
    "an id with white space": ({"liked_items": ["a b"]}, "a b"),
    "an empty range": ({"filter": {"year": {}}}, "year"),
    "a NUL byte": ({"interests": ["a\x00b"]}, "NUL"),
}


@pytest.mark.parametrize("name", BAD_REQUESTS)
def test_a_bad_request_is_told_what_is_wrong(gateway: httpx2.Client, name: str) -> None:
    request, telling = BAD_REQUESTS[name]
    answer = gateway.post("/v1/recommendations", json=request)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert telling in problem["detail"]
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert "Traceback" not in answer.text


def test_a_body_that_is_no_json_is_told_so(gateway: httpx2.Client) -> None:
    answer = gateway.post("/v1/recommendations", content=b"{", headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert "not JSON" in answer.json()["detail"]


def test_unknown_liked_items_are_named_and_ignored(gateway: httpx2.Client) -> None:
    answer = gateway.post("/v1/recommendations", json={"liked_items": ["7", "no-such-book"], "deadline_ms": 5_000}).json()
    assert answer["unknown_items"] == ["no-such-book"]
    assert answer["items"]


def test_an_unknown_item_and_an_unknown_path_are_404_problems(gateway: httpx2.Client) -> None:
    for path in ("/v1/items/no-such-book", "/v1/items/no-such-book/similar", "/v1/nowhere"):
        answer = gateway.get(path)
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"
    assert "no-such-book" in gateway.get("/v1/items/no-such-book").json()["detail"]


def test_an_import_keeps_good_rows_and_says_why_each_bad_one_was_refused(gateway: httpx2.Client) -> None:
    lines = [
        json.dumps({"id": "good-1", "title": "A good row"}),
        "{not json",
        json.dumps({"id": "no title"}),
        json.dumps({"id": "bad-number", "title": "t", "attributes": {"year": {"nested": 1}}}),
        json.dumps({"id": "good-2", "title": "Another good row"}),
    ]
    before = gateway.get("/v1/items", params={"limit": 1}).json()["total"]
    answer = gateway.post("/v1/items", content="\n".join(lines), headers={"content-type": "application/x-ndjson"})
    try:
        results = [json.loads(line) for line in answer.text.splitlines()]
        assert [(row["row"], row["status"]) for row in results] == [
            (1, "stored"), (2, "refused"), (3, "refused"), (4, "refused"), (5, "stored"),
        ]  # fmt: skip
        assert all(row["reason"] for row in results if row["status"] == "refused")
        assert gateway.get("/v1/items", params={"limit": 1}).json()["total"] == before + 2
    finally:
        for item in ("good-1", "good-2"):
            assert gateway.delete(f"/v1/items/{item}").status_code == 204


def test_a_refused_batch_of_events_stores_nothing(gateway: httpx2.Client) -> None:
    events = [{"user_id": "half", "item_id": "7"}, {"user_id": "half", "item_id": "7", "type": "teleported"}]
    assert gateway.post("/v1/events", json={"events": events}).status_code == 422
    answer = gateway.get("/v1/users/half")
    assert answer.status_code == 404 or answer.json()["event_count"] == 0


def test_embeddings_with_nan_or_of_the_wrong_dimension_are_refused(suite: Any) -> None:
    with httpx2.Client(base_url=suite.url("retriever"), timeout=10) as retriever:
        for embedding, telling in (("[NaN, 1.0]", "finite"), ("[1e999, 1.0]", "finite"), ("[1.0, 0.0]", "384")):
            body = f'{{"queries": [{{"label": "q", "embedding": {embedding}}}], "weights": {{"content": 1}}}}'
            answer = retriever.post("/v1/retrieve", content=body, headers={"content-type": "application/json"})
            assert answer.status_code in (400, 422)
            assert answer.headers["content-type"] == "application/problem+json"
            assert telling in answer.json()["detail"]
