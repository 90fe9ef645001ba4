import asyncio
import base64
import json
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from contracts.retriever import ItemPage, RetrieveResponse, SpaceStatus
from retriever import api, api_items
from retriever.app import build
from retriever.settings import Settings
from servicekit import problems

EMBEDDINGS = {"a": (0.6, 0.8), "b": (0.8, 0.6), "c": (-0.6, 0.8), "d": (1.0, 0.0)}
SURROGATE = base64.urlsafe_b64encode(rb'["","\ud800"]').decode()
NESTED = base64.urlsafe_b64encode(b"[" * 1_500).decode()
PROBLEM = "application/problem+json"


def batch(*names: str, fingerprint: str = "f", **attributes: Any) -> dict[str, Any]:
    items = [{"item": {"id": one, "title": f"Title {one}", "attributes": attributes}, "embedding": EMBEDDINGS[one]} for one in names]
    return {"fingerprint": fingerprint, "items": items}


def ndjson(*rows: Any) -> bytes:
    return b"\n".join(json.dumps(row).encode() for row in rows)


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx2.AsyncClient]:
    app = build(Settings(state_dir=tmp_path / "state", max_body_bytes=200_000))
    async with app.router.lifespan_context(app), httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test") as client:
        yield client


@pytest.fixture
async def stocked(client: httpx2.AsyncClient) -> httpx2.AsyncClient:
    answer = await client.put("/v1/items", json=batch("a", "b", "c", "d", genres=["x"], year=1999))
    assert (answer.status_code, answer.json()["created"]) == (200, 4)
    return client


async def test_an_item_is_there_as_it_was_sent_and_gone_when_deleted(stocked: httpx2.AsyncClient) -> None:
    item = {"id": "a", "title": "Other", "attributes": {"read": True, "stars": 4.5, "genres": ["x", "y"], "year": 7}, "text": "A text."}
    answer = await stocked.put("/v1/items", json={"fingerprint": "f", "items": [{"item": item, "embedding": [0, 1]}]})
    assert (answer.json()["created"], answer.json()["replaced"]) == (0, 1)
    assert (await stocked.get("/v1/items/a")).json() == item
    assert (await stocked.delete("/v1/items/a")).json()["deleted"] == 1
    for answer in (await stocked.get("/v1/items/a"), await stocked.delete("/v1/items/a")):
        assert (answer.status_code, answer.json()["type"], answer.headers["content-type"]) == (404, "/problems/item-unknown", PROBLEM)
        assert "'a'" in answer.json()["detail"]


async def test_pages_follow_each_other_in_the_order_of_ids(stocked: httpx2.AsyncClient) -> None:
    seen, cursor = [], None
    while True:
        page = ItemPage.model_validate_json(
            (await stocked.get("/v1/items", params={"limit": 3} | ({"cursor": cursor} if cursor else {}))).text
        )
        seen.append([item.id for item in page.items])
        assert page.total == 4
        if not (cursor := page.next_cursor):
            break
    assert seen == [["a", "b", "c"], ["d"]]


async def test_pages_of_a_search_follow_each_other(stocked: httpx2.AsyncClient) -> None:
    first = (await stocked.get("/v1/items", params={"query": " ti  ", "limit": 3})).json()
    second = (await stocked.get("/v1/items", params={"query": "ti", "limit": 3, "cursor": first["next_cursor"]})).json()
    assert [item["id"] for item in first["items"] + second["items"]] == ["a", "b", "c", "d"]
    assert second["next_cursor"] is None


@pytest.mark.parametrize("typed", ["ж" * 200, "𝄞" * 200, "\x01" * 199 + "ж", '"' * 199 + "ж"])
async def test_no_query_is_too_long_for_its_own_cursor(stocked: httpx2.AsyncClient, typed: str) -> None:
    cursor = api_items._cursor(typed, 2**31 - 1)
    answer = await stocked.get("/v1/items", params={"query": typed, "cursor": cursor})
    assert (answer.status_code, answer.json()["items"]) == (200, [])


@pytest.mark.parametrize(
    "cursor",
    ["x", "é", "W10=", base64.urlsafe_b64encode(b'["t",-1]').decode(), base64.urlsafe_b64encode(b'["",1]').decode(), SURROGATE, NESTED],
)
async def test_a_cursor_that_no_page_gave_is_refused(stocked: httpx2.AsyncClient, cursor: str) -> None:
    for params in ({"cursor": cursor}, {"cursor": cursor, "query": "t"}):
        answer = await stocked.get("/v1/items", params=params)
        assert (answer.status_code, answer.json()["type"]) == (422, "/problems/cursor-invalid")


async def test_embeddings_of_another_encoder_are_a_conflict_that_names_both(stocked: httpx2.AsyncClient) -> None:
    body = {"weights": {"content": 1}, "queries": [{"label": "q", "embedding": [1, 0]}], "fingerprint": "g"}
    for answer in (await stocked.put("/v1/items", json=batch("a", fingerprint="g")), await stocked.post("/v1/retrieve", json=body)):
        assert (answer.status_code, answer.json()["type"]) == (409, "/problems/fingerprint-mismatch")
        assert "'f'" in answer.json()["detail"]
        assert "'g'" in answer.json()["detail"]


@pytest.mark.parametrize("embedding", [[1], [0.5, 0.5], [0, 0], ["NaN", 1], [1e39, 0], "AAAA"])
async def test_a_bad_embedding_is_refused_and_nothing_is_stored(stocked: httpx2.AsyncClient, embedding: Any) -> None:
    body = batch("a") | {"items": [*batch("a")["items"], {"item": {"id": "new", "title": "t"}, "embedding": embedding}]}
    answer = await stocked.put("/v1/items", json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (422, PROBLEM)
    assert (await stocked.get("/v1/items/a")).json()["attributes"] == {"genres": ["x"], "year": 1999}
    assert (await stocked.get("/v1/items/new")).status_code == 404


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b"{}", b"\xff", b" " * 50_000, b'{"weights": {"taste": 1}}', b'{"weights": {"content": -1}}']
)
async def test_a_body_that_is_not_the_contracts_is_a_problem(stocked: httpx2.AsyncClient, body: bytes) -> None:
    for method, path in (("POST", "/v1/retrieve"), ("PUT", "/v1/items")):
        answer = await stocked.request(method, path, content=body)
        assert answer.status_code in (400, 422)
        assert answer.headers["content-type"] == PROBLEM


async def test_candidates_come_with_what_every_source_said(stocked: httpx2.AsyncClient) -> None:
    await stocked.put("/v1/spaces/collaborative", content=ndjson({"id": "a", "neighbours": [["b", 2], ["c", 1]]}))
    await stocked.put("/v1/spaces/popular", content=ndjson({"id": "a", "score": 3}, {"id": "c", "score": 1}))
    packed = base64.b64encode(struct.pack("<2f", 2, 0)).decode()
    body = {
        "weights": {"content": 1, "similar": 0.5, "collaborative": 1, "popular": 0.1},
        "queries": [{"label": "east", "embedding": packed}],
        "liked": ["a", "unheard-of"],
        "exclude": ["c"],
        "filter": {"genres": "x", "year": {"lte": 2000}, "id": {"none": ["z"]}},
        "k": 2,
    }
    answer = RetrieveResponse.model_validate_json((await stocked.post("/v1/retrieve", json=body)).text)
    assert [one.id for one in answer.candidates] == ["b", "d"]
    assert (answer.unknown_liked, answer.fingerprint, answer.searched) == (("unheard-of",), "f", 2)
    best = answer.candidates[0]
    assert {name: (said.score, said.rank, said.found_by) for name, said in best.sources.items()} == {
        "content": (pytest.approx(0.8), 2, "east"),
        "similar": (pytest.approx(0.630593), 1, "a"),
        "collaborative": (2.0, 1, "a"),
        "popular": (1.0, 2, None),
    }
    assert best.score == pytest.approx(sum(body["weights"][name] * said.standard_score for name, said in best.sources.items()))  # type: ignore[index]
    assert {"filter", "search", "score", "explain"} <= answer.timings_ms.keys()


async def test_nothing_to_retrieve_says_what_to_send(client: httpx2.AsyncClient) -> None:
    body = {"weights": {"content": 1}, "queries": [{"label": "q", "embedding": [1, 0]}]}
    assert "catalogue is empty" in (await client.post("/v1/retrieve", json=body)).json()["detail"]
    await client.put("/v1/items", json=batch("a"))
    assert (await client.post("/v1/retrieve", json=body)).status_code == 200
    answer = await client.post("/v1/retrieve", json={"weights": {"content": 1}, "liked": ["a"]})
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/nothing-to-retrieve")
    assert "weight for content with queries" in answer.json()["detail"]


async def test_a_query_without_direction_or_of_another_dimension_is_refused(stocked: httpx2.AsyncClient) -> None:
    for embedding in ([0, 0], [1e300, 1e300], [1, 0, 0]):
        answer = await stocked.post("/v1/retrieve", json={"weights": {"content": 1}, "queries": [{"label": "q", "embedding": embedding}]})
        assert (answer.status_code, answer.json()["type"]) == (422, "/problems/embedding-invalid")


async def test_spaces_say_what_they_hold(stocked: httpx2.AsyncClient) -> None:
    answer = await stocked.put(
        "/v1/spaces/collaborative", content=ndjson({"id": "a", "embedding": [1, 2, 2]}, {"id": "z", "embedding": [1, 0, 0]})
    )
    assert (answer.status_code, answer.json()["rows"], answer.json()["unknown"], answer.json()["dimension"]) == (200, 2, 1, 3)
    spaces = [SpaceStatus.model_validate(space) for space in (await stocked.get("/v1/spaces")).json()]
    assert [(space.name, space.kind, space.rows) for space in spaces] == [
        ("content-1", "hnsw", 4),
        ("collaborative", "vectors", 2),
        ("popular", "empty", 0),
    ]
    assert (spaces[0].dimension, spaces[0].fingerprint, spaces[0].role, spaces[0].missing) == (2, "f", "content", 0)


async def test_a_bad_row_refuses_the_whole_upload_and_leaves_the_space(stocked: httpx2.AsyncClient) -> None:
    await stocked.put("/v1/spaces/popular", content=ndjson({"id": "a", "score": 1}))
    answer = await stocked.put("/v1/spaces/popular", content=ndjson({"id": "b", "score": 1}, {"id": "c", "neighbours": []}))
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/space-row-refused")
    assert "Row 2: it has neighbours, but the space popular takes scores" in answer.json()["detail"]
    assert (await stocked.get("/v1/spaces")).json()[2]["rows"] == 1


async def test_an_unknown_space_and_a_too_large_upload_are_problems(stocked: httpx2.AsyncClient) -> None:
    answer = await stocked.put("/v1/spaces/content", content=b"")
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/space-unknown")

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 60_000

    answer = await stocked.put("/v1/spaces/popular", content=endless())
    assert (answer.status_code, answer.json()["type"]) == (413, "/problems/body-too-large")


async def test_ready_means_that_a_search_finds(tmp_path: Path) -> None:
    app = build(Settings(state_dir=tmp_path))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test") as client:
        answer = await client.get("/readyz")
        assert (answer.status_code, "IndexNotLoaded" in answer.json()["detail"]) == (503, True)
        async with app.router.lifespan_context(app):
            assert (await client.get("/readyz")).status_code == 200
            await client.put("/v1/items", json=batch("a", "b"))
            assert (await client.get("/readyz")).status_code == 200
            app.state.backend.view.content.memories[0].segment._buffer[:] = 0
            answer = await client.get("/readyz")
            assert (answer.status_code, "restart to rebuild the index" in answer.json()["detail"]) == (503, True)


async def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    body = {"weights": {"collaborative": 1, "popular": 1}, "liked": ["a"]}
    answers = []
    for start in range(2):
        app = build(Settings(state_dir=tmp_path))
        async with (
            app.router.lifespan_context(app),
            httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test") as client,
        ):
            if start == 0:
                await client.put("/v1/items", json=batch(*EMBEDDINGS))
                await client.put("/v1/spaces/collaborative", content=ndjson({"id": "a", "neighbours": [["b", 2], ["c", 1]]}))
                await client.put("/v1/spaces/popular", content=ndjson({"id": "a", "score": 3}, {"id": "c", "score": 1}))
            answers.append((await client.post("/v1/retrieve", json=body)).json() | {"timings_ms": {}})
    assert answers[0] == answers[1]


async def test_metrics_count_what_was_done(stocked: httpx2.AsyncClient) -> None:
    await stocked.delete("/v1/items/a")
    await stocked.post("/v1/retrieve", json={"weights": {"similar": 1}, "liked": ["b"]})
    await stocked.put("/v1/spaces/popular", content=ndjson({"id": "a", "score": 1}))
    lines = (await stocked.get("/metrics")).text.splitlines()
    for line in (
        "retriever_items 3.0",
        "retriever_items_upserted_total 4.0",
        "retriever_items_deleted_total 1.0",
        'retriever_space_rows{space="popular"} 1.0',
        'retriever_stage_duration_seconds_count{stage="search"} 1.0',
        "retriever_candidates_sum 2.0",
    ):
        assert line in lines


async def test_requests_at_once_are_all_answered(stocked: httpx2.AsyncClient) -> None:
    asks = [stocked.post("/v1/retrieve", json={"weights": {"similar": 1}, "liked": ["b"]}) for _ in range(16)]
    writes = [stocked.put("/v1/items", json=batch("a")) for _ in range(5)]
    assert {answer.status_code for answer in await asyncio.gather(*asks, *writes)} == {200}


async def test_the_description_shows_bodies_without_dangling_references(client: httpx2.AsyncClient) -> None:
    described = (await client.get("/openapi.json")).json()
    assert "queries" in described["paths"]["/v1/retrieve"]["post"]["requestBody"]["content"]["application/json"]["schema"]["properties"]
    references = set(json.dumps(described).split('"$ref": "')[1:])
    for reference in references:
        name = reference.split('"')[0].removeprefix("#/components/schemas/")
        assert name in described["components"]["schemas"]


async def test_the_content_space_can_be_read_back(stocked: httpx2.AsyncClient) -> None:
    await stocked.delete("/v1/items/b")
    answer = await stocked.get("/v1/spaces/content")
    rows = {row["id"]: struct.unpack("<2f", base64.b64decode(row["embedding"])) for row in map(json.loads, answer.text.splitlines())}
    assert rows == {name: pytest.approx(EMBEDDINGS[name]) for name in ("a", "c", "d")}


def test_every_problem_is_documented_with_its_status() -> None:
    readme = (Path(api.__file__).parent / "README.md").read_text()
    rows = [f"| {problems.slug(error)} | {status} |" for error, status in api.STATUSES.items()]
    assert [row for row in rows if row not in readme] == []
