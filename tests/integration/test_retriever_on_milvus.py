"""The retriever's API over Milvus (embedded): what it answers, and what it says it can not."""

import base64
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from tests.contract.retriever_stores import DIMENSION, unit
from tests.integration.retriever_over import served

from retriever.backends.milvus import Milvus
from retriever.items import Floats

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
    sent = http.put("/v1/spaces/next/vectors?fingerprint=other", content=lines, headers={"content-type": "application/x-ndjson"})
    assert sent.json()["created"] == 30
    assert http.put("/v1/roles/content", json={"space": "next"}).status_code == 200
    assert search(http, searches=[{"embeddings": [(-VECTORS[9]).tolist()]}], k=1)["results"][0]["hits"][0]["id"] == "i9"
    assert {space["name"]: space["role"] for space in http.get("/v1/spaces").json()} == {"next": "content", "content-1": None}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/retrieve", {"weights": {"content": 1.0}, "queries": [{"label": "q", "embedding": VECTORS[0].tolist()}]}),
        ("GET", "/v1/items?query=t1", None),
    ],
)
def test_what_needs_the_local_index_says_so(http: httpx2.Client, method: str, path: str, body: Any) -> None:
    answer = http.request(method, path, json=body)
    assert (answer.status_code, answer.json()["type"].rsplit("/", 1)[-1]) == (501, "local-only")
    assert "/v1/search" in answer.json()["detail"]


def test_the_service_is_ready_and_metrics_are_told(http: httpx2.Client) -> None:
    assert http.get("/readyz").status_code == 200
    assert "retriever_items 30" in http.get("/metrics").text
