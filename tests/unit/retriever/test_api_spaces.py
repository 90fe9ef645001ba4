import base64
import json

import httpx2
import numpy as np
import pytest
from tests.fakes.memory_backend import MemoryBackend
from tests.unit.retriever.serving import LINES, ndjson, packed, unit

from contracts.retriever import RoleStatus, SpaceStatus


@pytest.fixture
async def stocked(http: httpx2.AsyncClient) -> httpx2.AsyncClient:
    """Three items in the first space, at 0, 10 and 20 degrees."""
    rows = [{"item": {"id": name, "title": name}, "embedding": unit(at)} for name, at in (("a", 0), ("b", 10), ("c", 20))]
    assert (await http.put("/v1/items", json={"fingerprint": "f", "items": rows})).status_code == 200
    return http


async def put_vectors(http: httpx2.AsyncClient, space: str, fingerprint: str, **angles: float) -> httpx2.Response:
    lines = ndjson(*[{"id": name, "embedding": packed(unit(angle))} for name, angle in angles.items()])
    return await http.put(f"/v1/spaces/{space}/vectors", params={"fingerprint": fingerprint}, content=lines, headers=LINES)


async def nearest(http: httpx2.AsyncClient, space: str = "content") -> list[str]:
    answer = await http.post("/v1/search", json={"searches": [{"embeddings": [unit(0)], "space": space}]})
    return [hit["id"] for hit in answer.json()["results"][0]["hits"]]


async def test_a_space_is_filled_beside_cut_over_to_and_rolled_back(stocked: httpx2.AsyncClient) -> None:
    made = await stocked.post("/v1/spaces", json={"name": "next", "fingerprint": "g", "dimension": 2, "kind": "hnsw"})
    status = SpaceStatus.model_validate_json(made.text)
    assert (status.rows, status.missing, status.role, status.fingerprint) == (0, 3, None, "g")
    filled = await put_vectors(stocked, "next", "g", a=90, b=60, c=30)
    assert (filled.json()["created"], await nearest(stocked), await nearest(stocked, "next")) == (3, ["a", "b", "c"], ["c", "b", "a"])
    moved = RoleStatus.model_validate_json((await stocked.put("/v1/roles/content", json={"space": "next"})).text)
    assert moved.generation > filled.json()["generation"]
    assert await nearest(stocked) == ["c", "b", "a"]
    await stocked.put("/v1/roles/content", json={"space": "content-1"})
    assert await nearest(stocked) == ["a", "b", "c"]


async def test_a_cut_over_is_refused_while_items_lack_a_vector_unless_it_is_allowed(stocked: httpx2.AsyncClient) -> None:
    await stocked.post("/v1/spaces", json={"name": "next", "fingerprint": "g", "dimension": 2})
    await put_vectors(stocked, "next", "g", a=0)
    refused = await stocked.put("/v1/roles/content", json={"space": "next"})
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/vectors-missing")
    assert (await stocked.put("/v1/roles/content", json={"space": "next", "allow_missing": True})).status_code == 200
    assert await nearest(stocked) == ["a"]


async def test_a_space_in_use_is_not_dropped_and_another_is(stocked: httpx2.AsyncClient) -> None:
    await stocked.post("/v1/spaces", json={"name": "next", "fingerprint": "g", "dimension": 2})
    in_use = await stocked.delete("/v1/spaces/content-1")
    assert (in_use.status_code, in_use.json()["type"]) == (409, "/problems/space-in-use")
    assert (await stocked.delete("/v1/spaces/next")).status_code == 204
    assert (await stocked.delete("/v1/spaces/next")).status_code == 404


async def test_a_merge_is_begun_and_not_waited_for(stocked: httpx2.AsyncClient, store: MemoryBackend) -> None:
    assert (await stocked.post("/v1/spaces/content/merge")).status_code == 202
    assert store.merged == ["content-1"]
    assert (await stocked.post("/v1/spaces/never/merge")).status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {"name": "Next", "fingerprint": "g", "dimension": 2},
        {"name": "../x", "fingerprint": "g", "dimension": 2},
        {"name": "next", "fingerprint": "", "dimension": 2},
        {"name": "next", "fingerprint": "g", "dimension": 0},
        {"name": "next", "fingerprint": "g", "dimension": 5_000},
    ],
)
async def test_a_space_that_can_not_be_is_refused(http: httpx2.AsyncClient, body: dict[str, object]) -> None:
    answer = await http.post("/v1/spaces", json=body)
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/request-invalid")


async def test_a_name_is_taken_by_a_space_with_other_values_and_not_by_the_same(stocked: httpx2.AsyncClient) -> None:
    body = {"name": "next", "fingerprint": "g", "dimension": 2}
    assert [(await stocked.post("/v1/spaces", json=body)).status_code for _ in range(2)] == [200, 200]
    for other in ({**body, "dimension": 3}, {**body, "name": "content"}, {**body, "name": "popular"}):
        answer = await stocked.post("/v1/spaces", json=other)
        assert (answer.status_code, answer.json()["type"]) == (409, "/problems/space-exists")


async def test_vectors_of_another_encoder_dimension_or_item_are_refused(stocked: httpx2.AsyncClient) -> None:
    await stocked.post("/v1/spaces", json={"name": "next", "fingerprint": "g", "dimension": 2})
    other = await put_vectors(stocked, "next", "f", a=0)
    assert (other.status_code, other.json()["type"]) == (409, "/problems/fingerprint-mismatch")
    assert (await put_vectors(stocked, "next", "g", never=0)).json()["type"] == "/problems/item-unknown"
    assert (await put_vectors(stocked, "never", "g", a=0)).json()["type"] == "/problems/space-unknown"
    params, lines = {"fingerprint": "g"}, ndjson({"id": "a", "embedding": [1, 0]}, {"id": "b", "embedding": [1, 0, 0]})
    longer = await stocked.put("/v1/spaces/next/vectors", params=params, content=lines, headers=LINES)
    assert longer.json()["detail"].startswith("Line 2: its embedding has 3 numbers, not 2")
    assert await nearest(stocked, "next") == ["a"]


async def test_vectors_need_a_space_and_a_fingerprint(http: httpx2.AsyncClient) -> None:
    assert (await put_vectors(http, "content", "g", a=0)).json()["type"] == "/problems/space-unknown"
    answer = await http.put("/v1/spaces/content/vectors", content=b"")
    assert (answer.status_code, answer.json()["violations"][0]["field"]) == (422, "fingerprint")


async def test_the_content_space_is_exported_as_it_is_without_what_lacks_a_vector(stocked: httpx2.AsyncClient) -> None:
    await stocked.post("/v1/spaces", json={"name": "next", "fingerprint": "g", "dimension": 2})
    await put_vectors(stocked, "next", "g", a=45, c=60)
    await stocked.put("/v1/roles/content", json={"space": "next", "allow_missing": True})
    answer = await stocked.get("/v1/spaces/content")
    rows = {row["id"]: np.frombuffer(base64.b64decode(row["embedding"]), "<f4") for row in map(json.loads, answer.text.splitlines())}
    assert {name: vector.tolist() for name, vector in rows.items()} == {
        name: pytest.approx(unit(angle), abs=1e-6) for name, angle in (("a", 45), ("c", 60))
    }
