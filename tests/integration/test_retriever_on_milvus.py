"""The retriever's API over Milvus (embedded), and what a gateway recommends from there."""

import asyncio
import base64
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from tests.contract.retriever_stores import DIMENSION, unit
from tests.fakes.services import FakeEncoder, FakeExpander
from tests.integration.retriever_over import served
from tests.integration.test_gateways_share_events import answers, eventually, gateway
from tests.postgresql import free_port

from retriever.backends.milvus import Milvus
from retriever.items import Floats
from servicekit.settings import environment_with

NDJSON = {"content-type": "application/x-ndjson"}
VECTORS = unit(np.random.default_rng(2), 30)


@pytest.fixture
def http(tmp_path: Path) -> Iterator[httpx2.Client]:
    with (
        closing(Milvus(str(tmp_path / "lite.db"))) as store,
        served(store, tmp_path) as url,
        httpx2.Client(base_url=url, trust_env=False) as client,
    ):
        put(client, VECTORS)
        yield client


def encoded(vector: Floats) -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()


def put(client: httpx2.Client, vectors: Floats) -> dict[str, Any]:
    items = [
        {"item": {"id": f"i{at}", "title": f"t{at}", "attributes": {"year": 1990 + at}}, "embedding": encoded(vector)}
        for at, vector in enumerate(vectors)
    ]
    answer = client.put("/v1/items", json={"fingerprint": "encoder", "items": items})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def search(client: httpx2.Client, **asked: Any) -> dict[str, Any]:
    answer = client.post("/v1/search", json=asked)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_items_are_put_searched_filtered_patched_and_deleted_over_http(http: httpx2.Client) -> None:
    one = {"embeddings": [VECTORS[4].tolist()]}
    answer = search(http, searches=[one], k=3, with_items=True, explain=True)
    hits = answer["results"][0]["hits"]
    assert (hits[0]["id"], hits[0]["item"]["title"], len(hits)) == ("i4", "t4", 3)
    assert answer["plan"]
    http.patch("/v1/items/i4", json={"attributes": {"year": 2050}})
    assert [hit["id"] for hit in search(http, searches=[one], filter={"year": {"gte": 2030}})["results"][0]["hits"]] == ["i4"]
    generation = http.delete("/v1/items/i4").json()["generation"]
    ids = {hit["id"] for hit in search(http, searches=[one], k=30, min_generation=generation)["results"][0]["hits"]}
    assert ids == {f"i{at}" for at in range(30)} - {"i4"}


def test_examples_fusion_and_groups_work_over_milvus(http: httpx2.Client) -> None:
    like = {"positive": ["i1"], "negative": ["i2"]}
    fused = search(http, searches=[like, {"embeddings": [VECTORS[3].tolist()]}], fuse={"method": "rrf"}, k=5)
    assert len(fused["results"][0]["hits"]) == 5
    grouped = search(
        http, searches=[{"embeddings": [VECTORS[3].tolist()]}], group_by={"attribute": "year", "limit": 1}, mmr={"lambda": 0.5}, k=5
    )
    assert len({hit["id"] for hit in grouped["results"][0]["hits"]}) == 5


def test_a_space_is_filled_and_cut_over_over_http(http: httpx2.Client) -> None:
    assert http.post("/v1/spaces", json={"name": "next", "fingerprint": "other", "dimension": DIMENSION, "kind": "flat"}).status_code == 200
    lines = "".join(f'{{"id": "i{at}", "embedding": "{encoded(-vector)}"}}\n' for at, vector in enumerate(VECTORS))
    sent = http.put("/v1/spaces/next/vectors?fingerprint=other", content=lines, headers=NDJSON)
    assert sent.json()["created"] == 30
    assert http.put("/v1/roles/content", json={"space": "next"}).status_code == 200
    assert search(http, searches=[{"embeddings": [(-VECTORS[9]).tolist()]}], k=1)["results"][0]["hits"][0]["id"] == "i9"
    assert {space["name"]: space["role"] for space in http.get("/v1/spaces").json() if space["fingerprint"]} == {
        "next": "content",
        "content-1": None,
    }


def test_spaces_are_uploaded_and_recommended_from_over_http(http: httpx2.Client) -> None:
    scores = "".join(f'{{"id": "i{at}", "score": {at}}}\n' for at in range(30))
    state = http.put("/v1/spaces/popular", content=scores, headers=NDJSON).json()
    assert (state["name"], state["kind"], state["rows"], state["unknown"]) == ("popular", "scores", 30, 0)
    asked = {
        "weights": {"content": 1.0, "popular": 0.1},
        "queries": [{"label": "near the fourth", "embedding": VECTORS[4].tolist()}],
        "liked": ["i5", "nobody"],
        "filter": {"year": {"gte": 1992}},
        "k": 3,
    }
    answer = http.post("/v1/retrieve", json=asked).json()
    assert (answer["fingerprint"], answer["searched"], answer["unknown_liked"]) == ("encoder", 27, ["nobody"])
    best = answer["candidates"][0]
    assert (best["id"], best["title"], best["sources"]["content"]["found_by"]) == ("i4", "t4", "near the fourth")
    refused = http.post("/v1/retrieve", json=asked | {"fingerprint": "another"})
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/fingerprint-mismatch")


def test_what_is_typed_is_found_in_pages_over_http(http: httpx2.Client) -> None:
    first = http.get("/v1/items", params={"query": "t2", "limit": 6}).json()
    rest = http.get("/v1/items", params={"query": "t2", "limit": 6, "cursor": first["next_cursor"]}).json()
    assert [item["id"] for page in (first, rest) for item in page["items"]] == ["i2", *(f"i{at}" for at in range(20, 30))]
    assert rest["next_cursor"] is None


@asynccontextmanager
async def retriever(folder: Path, port: int) -> AsyncIterator[str]:
    """A retriever process with its items in an embedded Milvus."""
    environment = environment_with(
        RETRIEVER_PORT=str(port), RETRIEVER_STATE_DIR=str(folder / "retriever"), RETRIEVER_MILVUS_URL=str(folder / "lite.db")
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "retriever", env=environment, stdout=asyncio.subprocess.DEVNULL)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        assert await process.wait() == 0


async def test_a_gateway_recommends_what_is_in_milvus(tmp_path: Path) -> None:
    async with FakeEncoder() as encoder, FakeExpander() as expander, retriever(tmp_path, free_port()) as url:
        settings = {"GATEWAY_ENCODER_URL": encoder.url, "GATEWAY_EXPANDER_URL": expander.url, "GATEWAY_RETRIEVER_URL": url}
        async with gateway(tmp_path / "gateway", **settings) as http, httpx2.AsyncClient(base_url=url) as direct:
            await eventually(lambda: answers(direct))
            rows = b"".join(b'{"id": "%d", "title": "Book %d", "text": "number %d"}\n' % (n, n, n) for n in range(1, 6))
            stored = await http.post("/v1/items", content=rows, headers=NDJSON)
            assert stored.text.count('"stored"') == 5
            answer = (await http.post("/v1/recommendations", json={"liked_items": ["1"], "deadline_ms": 10_000})).json()
            assert {item["title"] for item in answer["items"]} == {"Book 2", "Book 3", "Book 4", "Book 5"}
            assert answer["degraded"] == []
            assert (await http.get("/v1/items", params={"query": "book 3"})).json()["items"][0]["id"] == "3"


def test_the_service_is_ready_and_metrics_are_told(http: httpx2.Client) -> None:
    assert http.get("/readyz").status_code == 200
    assert "retriever_items 30" in http.get("/metrics").text
