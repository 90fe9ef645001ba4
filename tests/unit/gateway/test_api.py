"""The public API over fakes that behave: what goes in and what comes out."""

import json
import threading
from typing import Any

import pytest
from tests.unit.gateway.conftest import House, ids, stages

from gateway import api_bodies

NDJSON = {"content-type": "application/x-ndjson"}


def lines(*rows: Any) -> str:
    return "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows)


async def test_a_stated_interest_is_rung_1_and_says_what_it_matches(house: House) -> None:
    answer = await house.recommend(interests=["space politics"], k=3)
    assert answer["rung"] == 1
    assert ids(answer)[0] == "dune"
    assert answer["degraded"] == []
    reason = answer["items"][0]["reasons"][0]
    assert reason["source"] == "content"
    assert reason["text"] == f'Matches "{reason["topic"]}"'
    assert [topic["text"] for topic in answer["topics"]] == ["space politics past", "space politics future"]
    assert {topic["source"] for topic in answer["topics"]} == {"llm"}


async def test_nothing_known_is_rung_0_and_popular(house: House) -> None:
    answer = await house.recommend(k=2)
    assert (answer["rung"], ids(answer)) == (0, ["dune", "emma"])
    assert [reason["text"] for item in answer["items"] for reason in item["reasons"]] == ["Popular now"] * 2
    assert answer["items"][0]["relevance"] == 1


async def test_a_liked_item_leads_to_what_its_readers_like_and_is_not_shown(house: House) -> None:
    answer = await house.recommend(liked_items=["dune"], k=3)
    assert answer["rung"] == 2
    assert ids(answer)[:2] == ["foundation", "hyperion"]
    assert "dune" not in ids(answer)
    assert answer["items"][0]["reasons"][0]["text"] == 'Liked by people who like "Dune"'


async def test_more_than_five_liked_items_are_rung_3(house: House) -> None:
    liked = ["dune", "foundation", "hyperion", "emma", "persuasion", "dracula"]
    assert (await house.recommend(liked_items=liked))["rung"] == 3


async def test_unknown_liked_items_are_named_and_lower_the_rung(house: House) -> None:
    answer = await house.recommend(liked_items=["nothing", "never"], k=2)
    assert answer["unknown_items"] == ["nothing", "never"]
    assert (answer["rung"], ids(answer), stages(answer)) == (0, ["dune", "emma"], [])
    some = await house.recommend(liked_items=["nothing", "dune"])
    assert (some["rung"], some["unknown_items"]) == (2, ["nothing"])


async def test_topics_of_the_caller_are_searched_and_the_expander_is_not_asked(house: House) -> None:
    answer = await house.recommend(interests=["anything"], topics=["vampires"])
    assert house.expander.calls == []
    assert [(topic["text"], topic["source"]) for topic in answer["topics"]] == [("vampires", "caller")]
    assert {query.label for query in house.retriever.searches[-1].queries} == {"anything", "vampires"}


async def test_a_known_text_is_not_embedded_again(house: House) -> None:
    await house.recommend(interests=["space"])
    await house.recommend(interests=["space"])
    assert sorted(house.encoder.texts) == ["space", "space future", "space past"]


async def test_exclusions_and_dismissals_are_never_recommended(house: House) -> None:
    answer = await house.recommend(
        liked_items=["dune"], exclude=["foundation"], events=[{"item_id": "hyperion", "type": "dismiss"}, {"item_id": "emma"}], k=20
    )
    assert not {"dune", "foundation", "hyperion", "emma"} & set(ids(answer))
    assert set(house.retriever.searches[-1].liked) == {"dune", "emma"}


async def test_a_filter_reaches_the_retriever_and_holds(house: House) -> None:
    answer = await house.recommend(filter={"genres": {"any": ["classics"]}})
    assert set(ids(answer)) == {"emma", "persuasion", "dracula"}


async def test_stored_events_raise_the_rung_and_erasure_lowers_it(house: House) -> None:
    await house.like("ann", "dune", "emma")
    assert (await house.recommend(user_id="ann"))["rung"] == 2
    user = (await house.http.get("/v1/users/ann")).json()
    assert (user["event_count"], user["liked_items"]) == (2, ["emma", "dune"])
    assert user["events"][0] == {"user_id": "ann", "item_id": "emma", "type": "like", "time": "2026-01-02T00:00:00Z", "value": None}
    assert (await house.http.delete("/v1/users/ann")).status_code == 204
    assert (await house.http.get("/v1/users/ann")).status_code == 404
    assert (await house.recommend(user_id="ann"))["rung"] == 0


async def test_every_stage_is_timed(house: House) -> None:
    answer = await house.recommend(interests=["space"], user_id="nobody")
    assert {"expander", "encoder", "retriever", "profiles", "total"} == set(answer["timings_ms"])


@pytest.mark.parametrize(
    ("request_", "field", "telling"),
    [
        ({"k": 0}, "k", "(got 0)"),
        ({"interests": ["x" * 501]}, "interests.0", "500"),
        ({"intrests": ["dune"]}, "intrests", "remove it"),
        ({"liked_items": ["a b"]}, "liked_items.0", "a b"),
        ({"filter": {"year": {}}}, "filter.year", "gte"),
    ],
)
async def test_a_bad_request_names_the_field_the_value_and_the_remedy(house: House, request_: Any, field: str, telling: str) -> None:
    answer = await house.http.post("/v1/recommendations", json=request_)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert any(violation["field"].startswith(field) for violation in answer.json()["violations"])
    assert telling in answer.json()["detail"]


async def test_a_filter_the_retriever_refuses_is_the_callers_problem(house: House) -> None:
    for interests in ([], ["space"]):
        answer = await house.http.post("/v1/recommendations", json={"filter": {"nonsense": 1}, "interests": interests})
        assert answer.status_code == 422
        assert answer.json()["detail"] == "filter.nonsense: there is no such attribute; leave it out."


async def test_one_event_and_several_are_stored_once(house: House) -> None:
    event = {"user_id": "bob", "item_id": "it", "type": "view", "time": "2026-01-01T00:00:00Z"}
    assert (await house.http.post("/v1/events", json=event)).json() == {"stored": 1, "duplicates": 0}
    assert (await house.http.post("/v1/events", json={"events": [event, {**event, "item_id": "emma"}]})).json() == {
        "stored": 1,
        "duplicates": 1,
    }


async def test_one_bad_event_stores_none_of_its_body(house: House) -> None:
    events = [{"user_id": "bob", "item_id": "it"}, {"user_id": "bob", "item_id": "it", "type": "teleported"}]
    answer = await house.http.post("/v1/events", json={"events": events})
    assert answer.status_code == 422
    assert answer.json()["violations"][0]["field"] == "events.1.type"
    assert (await house.http.get("/v1/users/bob")).status_code == 404


@pytest.mark.parametrize(
    ("content", "status"), [(b"{", 400), (b"", 400), (b'{"user_id": NaN}', 400), (b"[]", 422), (b'{"events": []}', 422)]
)
async def test_a_body_that_is_no_event_is_refused(house: House, content: bytes, status: int) -> None:
    answer = await house.http.post("/v1/events", content=content, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


async def test_an_event_of_an_impossible_time_is_refused(house: House) -> None:
    answer = await house.http.post("/v1/events", json={"user_id": "bob", "item_id": "it", "time": "0001-01-01T00:00:00+23:00"})
    assert answer.status_code == 422
    assert "1900" in answer.json()["detail"]


async def test_an_event_body_of_another_kind_is_refused(house: House) -> None:
    answer = await house.http.post("/v1/events", content=b"a,b", headers={"content-type": "text/csv"})
    assert answer.status_code == 415
    assert "application/x-ndjson" in answer.json()["detail"]


async def test_items_and_requests_of_another_kind_are_refused_and_every_name_of_ndjson_is_taken(house: House) -> None:
    row = b'{"id": "new", "title": "New"}'
    for path, kind, wanted in (("items", "text/csv", "application/x-ndjson"), ("recommendations", "text/plain", "application/json")):
        refused = await house.http.post(f"/v1/{path}", content=row, headers={"content-type": kind})
        assert (refused.status_code, wanted in refused.json()["detail"]) == (415, True)
    assert "new" not in house.retriever.items
    for kind in ("application/x-ndjson; charset=utf-8", "application/ndjson", "application/jsonl"):
        assert (await house.http.post("/v1/items", content=row, headers={"content-type": kind})).json()["status"] == "stored"


async def test_a_long_body_is_read_beside_the_event_loop_and_a_short_one_in_place() -> None:
    def reader(body: bytes) -> threading.Thread:
        return threading.current_thread()

    assert await api_bodies.read(b"x" * api_bodies.INLINE_BYTES, reader) is threading.main_thread()
    assert await api_bodies.read(b"x" * (api_bodies.INLINE_BYTES + 1), reader) is not threading.main_thread()


async def test_long_bodies_are_taken_and_refused_as_short_ones_are(house: House) -> None:
    events = [{"user_id": "u", "item_id": f"{number:0100}"} for number in range(1_000)]
    assert (await house.http.post("/v1/events", json={"events": events})).json()["stored"] == 1_000
    refused = await house.http.post("/v1/events", json={"events": [*events, {"user_id": "u"}]})
    assert (refused.status_code, refused.json()["violations"][0]["field"]) == (422, "events.1000.item_id")
    excluded = [f"{number:0100}" for number in range(999)]
    assert "dune" not in ids(await house.recommend(exclude=[*excluded, "dune"]))
    assert (await house.http.post("/v1/recommendations", json={"exclude": excluded, "k": 0})).status_code == 422


async def test_a_long_cursor_is_passed_on(house: House) -> None:
    assert (await house.http.get("/v1/items", params={"cursor": "c" * 2_048})).status_code == 200
    assert (await house.http.get("/v1/items", params={"cursor": "c" * 2_049})).status_code == 422


async def test_a_bulk_of_events_keeps_the_good_rows_and_says_why_others_are_refused(house: House) -> None:
    body = lines(
        {"user_id": "cy", "item_id": "it"}, "{", "", {"user_id": "cy"}, {"user_id": "cy", "item_id": "emma", "time": "3000-01-01T00:00:00Z"}
    )
    answer = await house.http.post("/v1/events", content=body, headers=NDJSON)
    rows = [json.loads(line) for line in answer.text.splitlines()]
    assert [(row["row"], row["status"]) for row in rows] == [(1, "stored"), (2, "refused"), (4, "refused"), (5, "refused")]
    assert "item_id" in rows[2]["reason"]
    assert "2199" in rows[3]["reason"]
    assert (await house.http.get("/v1/users/cy")).json()["event_count"] == 1


async def test_events_are_exported_page_by_page(house: House) -> None:
    await house.like("ann", "dune", "emma", "it")
    first = (await house.http.get("/v1/events", params={"limit": 2})).json()
    second = (await house.http.get("/v1/events", params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert [event["item_id"] for event in first["events"] + second["events"]] == ["dune", "emma", "it"]
    assert second["next_cursor"] is None
    assert (await house.http.get("/v1/events", params={"cursor": "later"})).status_code == 422


async def test_an_item_is_put_found_unchanged_and_deleted(house: House) -> None:
    item = {"id": "new", "title": "New", "attributes": {"genres": ["space"]}, "text": "about it"}
    put = await house.http.put("/v1/items/new", json=item)
    assert (put.status_code, put.json()) == (201, item)
    assert house.encoder.texts == ["space: New. about it"]
    got = await house.http.get("/v1/items/new")
    assert (got.json(), got.headers["etag"]) == (item, put.headers["etag"])
    unchanged = await house.http.get("/v1/items/new", headers={"if-none-match": got.headers["etag"]})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    replaced = await house.http.put("/v1/items/new", json={**item, "title": "Newer"})
    assert replaced.status_code == 200
    assert (await house.http.get("/v1/items/new", headers={"if-none-match": got.headers["etag"]})).status_code == 200
    assert (await house.http.delete("/v1/items/new")).status_code == 204
    for method in ("GET", "DELETE"):
        answer = await house.http.request(method, "/v1/items/new")
        assert (answer.status_code, answer.json()["type"]) == (404, "/problems/item-unknown")


async def test_an_id_with_a_percent_sign_is_one_id(house: House) -> None:
    assert (await house.http.put("/v1/items/100%25", json={"id": "100%", "title": "All of it"})).status_code == 201
    assert (await house.http.get("/v1/items/100%25")).json()["id"] == "100%"
    assert (await house.http.delete("/v1/items/100%25")).status_code == 204


async def test_an_item_under_another_id_is_refused_and_not_stored(house: House) -> None:
    answer = await house.http.put("/v1/items/new", json={"id": "other", "title": "New"})
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/id-mismatch")
    assert not {"new", "other"} & house.retriever.items.keys()


async def test_a_deleted_item_leaves_every_list_held_for_outages(house: House) -> None:
    await house.recommend(interests=["space"], topics=[])
    await house.http.delete("/v1/items/dune")
    await house.retriever.stop()
    assert "dune" not in ids(await house.recommend(interests=["space"], topics=[]))
    assert "dune" not in ids(await house.recommend())


async def test_an_import_answers_for_every_row(house: House) -> None:
    good = [{"id": f"n{number}", "title": f"Number {number}"} for number in range(12)]
    body = lines(*good[:6], "{not json", {"id": "x y", "title": "t"}, *good[6:])
    answer = await house.http.post("/v1/items", content=body, headers=NDJSON)
    rows = [json.loads(line) for line in answer.text.splitlines()]
    assert [row["row"] for row in rows] == list(range(1, 15))
    assert [row["row"] for row in rows if row["status"] == "refused"] == [7, 8]
    assert "x y" in rows[7]["reason"]
    assert {item["id"] for item in good} <= house.retriever.items.keys()


async def test_an_import_lets_recommendations_be_embedded_first(house: House) -> None:
    house.encoder.priorities.clear()
    await house.http.post("/v1/items", content=lines({"id": "n1", "title": "One"}, {"id": "n2", "title": "Two"}), headers=NDJSON)
    await house.http.put("/v1/items/n3", json={"id": "n3", "title": "Three"})
    await house.recommend(interests=["space travel"])
    assert house.encoder.priorities[:2] == ["bulk", "online"]
    assert set(house.encoder.priorities[2:]) == {"online"}


async def test_a_row_that_a_service_refuses_does_not_take_its_batch_along(house: House) -> None:
    titles = ["One", "Two", house.retriever.refused_title, f"An {house.encoder.refused_word} title"]
    body = lines(*({"id": f"r{number}", "title": title} for number, title in enumerate(titles)))
    rows = [json.loads(line) for line in (await house.http.post("/v1/items", content=body)).text.splitlines()]
    assert [row["status"] for row in rows] == ["stored", "stored", "refused", "refused"]
    assert "choose another" in rows[2]["reason"]
    assert {"r0", "r1"} == {item for item in house.retriever.items if item.startswith("r")}


async def test_the_last_of_two_rows_with_one_id_counts(house: House) -> None:
    others = [{"id": f"n{number}", "title": f"Number {number}"} for number in range(20)]
    body = lines({"id": "twice", "title": "First"}, *others, {"id": "twice", "title": "Second"}, {"id": "twice"})
    rows = [json.loads(line) for line in (await house.http.post("/v1/items", content=body)).text.splitlines()]
    assert (rows[0]["status"], rows[21]["status"], rows[22]["status"]) == ("refused", "stored", "refused")
    assert "row 22" in rows[0]["reason"]
    assert house.retriever.items["twice"]["title"] == "Second"


async def test_similar_items_come_with_the_item(house: House) -> None:
    answer = (await house.http.get("/v1/items/dune/similar", params={"k": 2})).json()
    assert answer["item"]["title"] == "Dune"
    assert ids(answer) == ["foundation", "hyperion"]
    assert {reason["source"] for item in answer["items"] for reason in item["reasons"]} <= {"collaborative", "similar"}
    chosen = {"filter": '{"genres": {"any": ["empire"]}}'}
    assert ids((await house.http.get("/v1/items/dune/similar", params=chosen)).json()) == ["foundation"]


async def test_similar_to_an_unknown_item_or_with_a_bad_filter_is_refused(house: House) -> None:
    assert (await house.http.get("/v1/items/never/similar")).status_code == 404
    for bad, status in (("{", 400), ('{"year": {}}', 422), ('{"nonsense": 1}', 422)):
        assert (await house.http.get("/v1/items/dune/similar", params={"filter": bad})).status_code == status


async def test_spaces_are_passed_through_and_refusals_come_back_as_they_are(house: House) -> None:
    stored = await house.http.put("/v1/spaces/popular", content=lines({"id": "it", "score": 5}), headers=NDJSON)
    assert (stored.status_code, stored.json()["rows"]) == (200, 1)
    refused = await house.http.put("/v1/spaces/popular", content=lines({"id": "it", "embedding": [1]}), headers=NDJSON)
    assert (refused.status_code, refused.json()["detail"]) == (422, "Row 1: it has no score.")
    assert (await house.http.put("/v1/spaces/content", content=b"")).status_code == 422
    assert (await house.http.get("/v1/spaces")).json()[0]["name"] == "popular"


async def test_items_are_listed_and_searched(house: House) -> None:
    assert (await house.http.get("/v1/items", params={"query": "dun"})).json()["items"][0]["id"] == "dune"
    assert len((await house.http.get("/v1/items", params={"limit": 3})).json()["items"]) == 3


async def test_the_status_says_who_answers(house: House) -> None:
    await house.like("ann", "dune")
    status = (await house.http.get("/v1/status")).json()
    assert (status["items"], status["events"], status["expander"]) == (8, 1, "fake (fake-llm)")
    assert status["encoder"].startswith("words")
    assert len(status["ladder"]) == 16
    await house.encoder.stop()
    assert (await house.http.get("/v1/status")).json()["encoder"] is None


async def test_every_reference_of_the_openapi_document_resolves(house: House) -> None:
    document = (await house.http.get("/openapi.json")).json()

    def references(value: Any) -> list[str]:
        if isinstance(value, dict):
            own = [value["$ref"]] if "$ref" in value else []
            return own + [found for part in value.values() for found in references(part)]
        return [found for part in value for found in references(part)] if isinstance(value, list) else []

    schemas = document["components"]["schemas"]
    assert [ref for ref in references(document) if ref.removeprefix("#/components/schemas/") not in schemas] == []
    assert all(operation["description"] for path in document["paths"].values() for operation in path.values())


async def test_metrics_count_rungs_rows_and_substituted_stages(house: House) -> None:
    await house.encoder.stop()
    await house.recommend(interests=["space"])
    await house.like("ann", "dune")
    await house.http.post("/v1/events", content=lines({"user_id": "u", "item_id": "it"}, "{"), headers=NDJSON)
    text = (await house.http.get("/metrics")).text
    for line in (
        'gateway_recommendations_total{rung="1"} 1.0',
        'gateway_degraded_total{stage="encoder"} 1.0',
        'gateway_import_rows_total{kind="event",status="refused"} 1.0',
        "gateway_events_stored_total 2.0",
        'gateway_stage_seconds_count{stage="retriever"} 1.0',
    ):
        assert line in text
