"""The main job, over the public API, on real books."""

from typing import Any

import httpx2

HOBBIT, LORD_OF_THE_RINGS, ORIENT_EXPRESS = "7", "189", "672"


def recommend(gateway: httpx2.Client, **request: Any) -> dict[str, Any]:
    answer = gateway.post("/v1/recommendations", json={"deadline_ms": 10_000, **request})
    assert answer.status_code == 200, answer.text
    assert answer.json()["degraded"] == []
    return dict(answer.json())


def genres(item: dict[str, Any]) -> str:
    return " ".join(item["attributes"]["genres"])


def test_a_stated_interest_finds_books_of_that_kind(gateway: httpx2.Client) -> None:
    answer = recommend(gateway, interests=["space opera with political intrigue"], k=10)
    assert answer["rung"] == 1
    assert 3 <= len(answer["topics"]) <= 5
    assert {topic["source"] for topic in answer["topics"]} == {"cooccurrence"}
    about_science_fiction = [item for item in answer["items"] if "sci-fi" in genres(item) or "science-fiction" in genres(item)]
    assert len(about_science_fiction) >= 7


def test_every_recommendation_says_why(gateway: httpx2.Client) -> None:
    answer = recommend(gateway, interests=["vampires"], liked_items=[HOBBIT], k=20)
    for item in answer["items"]:
        assert item["reasons"]
        assert 0 < item["relevance"] <= 1
    relevances = [item["relevance"] for item in answer["items"]]
    assert relevances == sorted(relevances, reverse=True)


def test_one_liked_book_leads_to_books_its_readers_like(gateway: httpx2.Client) -> None:
    answer = recommend(gateway, liked_items=[HOBBIT], k=20)
    assert answer["rung"] == 2
    assert HOBBIT not in {item["id"] for item in answer["items"]}
    assert any("The Hobbit" in reason["text"] for item in answer["items"] for reason in item["reasons"])
    anybody = recommend(gateway, k=20)
    assert sum("fantasy" in genres(item) for item in answer["items"]) > sum("fantasy" in genres(item) for item in anybody["items"])
    assert LORD_OF_THE_RINGS in {item["id"] for item in answer["items"]}


def test_a_user_of_whom_nothing_is_known_gets_popular_books(gateway: httpx2.Client) -> None:
    answer = recommend(gateway, k=10)
    assert answer["rung"] == 0
    assert {reason["source"] for item in answer["items"] for reason in item["reasons"]} == {"popular"}


def test_topics_of_the_caller_replace_the_expander(gateway: httpx2.Client) -> None:
    without = recommend(gateway, interests=["first love"], topics=[], k=100)
    answer = recommend(gateway, interests=["first love"], topics=["vampires", "blood"], k=100)
    assert without["topics"] == []
    assert [(topic["text"], topic["source"]) for topic in answer["topics"]] == [("vampires", "caller"), ("blood", "caller")]
    assert sum("vampire" in genres(item) for item in answer["items"]) > sum("vampire" in genres(item) for item in without["items"])


def test_stored_events_raise_the_rung_and_erasure_lowers_it(gateway: httpx2.Client) -> None:
    events = [{"user_id": "reader-1", "item_id": item, "type": "like"} for item in (HOBBIT, ORIENT_EXPRESS)]
    assert gateway.post("/v1/events", json={"events": events}).json()["stored"] == 2
    assert recommend(gateway, user_id="reader-1")["rung"] == 2
    assert set(gateway.get("/v1/users/reader-1").json()["liked_items"]) == {HOBBIT, ORIENT_EXPRESS}
    assert gateway.delete("/v1/users/reader-1").status_code == 204
    assert recommend(gateway, user_id="reader-1")["rung"] == 0


def test_filters_and_exclusions_hold(gateway: httpx2.Client) -> None:
    request: dict[str, Any] = {"interests": ["magic"], "filter": {"year": {"gte": 2000}, "genres": {"any": ["fantasy", "horror"]}}, "k": 50}
    first = recommend(gateway, **request)["items"]
    assert first
    for item in first:
        assert item["attributes"]["year"] >= 2000
        assert {"fantasy", "horror"} & set(item["attributes"]["genres"])
    without = recommend(gateway, **request, exclude=[item["id"] for item in first[:10]])["items"]
    assert {item["id"] for item in first[:10]} & {item["id"] for item in without} == set()


def test_similar_items_are_alike(gateway: httpx2.Client) -> None:
    answer = gateway.get(f"/v1/items/{ORIENT_EXPRESS}/similar", params={"k": 10}).json()
    assert answer["item"]["id"] == ORIENT_EXPRESS
    assert sum("mystery" in genres(item) for item in answer["items"]) >= 7


def test_a_new_item_is_recommended_seconds_after_it_is_added(gateway: httpx2.Client) -> None:
    title = "Beekeeping on the Moons of Jupiter"
    book = {"id": "new-book", "title": title, "attributes": {"authors": ["A. Newcomer"], "genres": ["science", "nature"], "year": 2026}}
    assert gateway.put("/v1/items/new-book", json=book).status_code in (200, 201, 204)
    try:
        found = recommend(gateway, interests=["beekeeping on the moons of Jupiter"], k=5)["items"]
        assert "new-book" in {item["id"] for item in found}
        assert [item["id"] for item in gateway.get("/v1/items", params={"query": "beekeeping moons"}).json()["items"]] == ["new-book"]
    finally:
        assert gateway.delete("/v1/items/new-book").status_code == 204
    assert gateway.get("/v1/items/new-book").status_code == 404


def test_timings_name_every_stage(gateway: httpx2.Client) -> None:
    answer = recommend(gateway, interests=["dragons"], user_id="nobody")
    assert {"expander", "encoder", "retriever", "profiles", "total"} <= set(answer["timings_ms"])
