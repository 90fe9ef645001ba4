"""`POST /v1/embeddings` speaks OpenAI's protocol; tests/contract holds what OpenAI's own client makes of it."""

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest

from contracts.encoder import EmbeddingsResponse
from encoder import app as encoder_app
from encoder.metrics import EncoderMetrics
from encoder.settings import Settings

TEXTS = ["space opera", "ghosts in the machine", "!?"]


@pytest.fixture
async def client(steered: Any, tmp_path: Path) -> AsyncIterator[httpx2.AsyncClient]:
    app = encoder_app.assemble(Settings(backend="hashing", state_dir=tmp_path, threads=1), steered, EncoderMetrics())
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    async with app.router.lifespan_context(app), httpx2.AsyncClient(transport=transport, base_url="http://encoder") as opened:
        yield opened


@pytest.mark.parametrize("options", [{}, {"encoding_format": "float"}, {"encoding_format": "base64"}])
async def test_every_text_gets_its_embedding_in_either_form(options: dict[str, str], client: httpx2.AsyncClient, steered: Any) -> None:
    answer = await client.post("/v1/embeddings", json={"input": TEXTS, "model": "hashing", "user": "somebody", **options})
    parsed = EmbeddingsResponse.model_validate_json(answer.content)
    assert [(row.object, row.index) for row in parsed.data] == [("embedding", 0), ("embedding", 1), ("embedding", 2)]
    rows = [row.embedding for row in parsed.data]
    if options.get("encoding_format") == "base64":
        rows = [np.frombuffer(base64.b64decode(str(row)), "<f4").tolist() for row in rows]
    assert np.array_equal(np.array(rows, np.float32), steered.expected(TEXTS))
    assert (parsed.object, parsed.model) == ("list", "hashing")
    assert parsed.usage.prompt_tokens == parsed.usage.total_tokens == 2 + 4 + 1
    assert answer.headers["x-embedding-fingerprint"] == steered.identity.fingerprint


async def test_one_text_is_a_list_of_one(client: httpx2.AsyncClient, steered: Any) -> None:
    answer = await client.post("/v1/embeddings", json={"input": "space opera", "model": "hashing"})
    assert np.allclose(answer.json()["data"][0]["embedding"], steered.expected(["space opera"])[0])
    assert len(answer.json()["data"]) == 1


async def test_the_model_may_be_named_by_its_fingerprint(client: httpx2.AsyncClient, steered: Any) -> None:
    cut = (await client.get("/v1/model")).json()["dimensions"]["8"]
    for body in ({"model": steered.identity.fingerprint}, {"model": cut, "dimensions": 8}):
        answer = await client.post("/v1/embeddings", json={"input": "a", **body})
        assert answer.headers["x-embedding-fingerprint"] == body["model"]
    other = await client.post("/v1/embeddings", json={"input": "a", "model": cut})
    assert other.status_code == 404


@pytest.mark.parametrize(
    ("body", "status", "telling"),
    [
        ({"input": "a", "model": "ada-002"}, 404, "'ada-002' is not served here; ask for 'hashing' or for 'hashing/fp32/"),
        ({"input": "a"}, 422, "model: Field required"),
        ({"model": "hashing"}, 422, "input: Field required"),
        ({"input": [], "model": "hashing"}, 422, "at least 1"),
        ({"input": [1, 2], "model": "hashing"}, 422, "has token ids, which mean nothing to this model; send texts"),
        ({"input": [[1, 2], [3]], "model": "hashing"}, 422, "has token ids"),
        ({"input": {"text": "a"}, "model": "hashing"}, 422, "input: Input should be a valid array"),
        ({"input": ["a"] * 10_000, "model": "hashing"}, 422, "has 10000 texts; send at most 2048 in one request"),
        ({"input": "a" * 1_000_000, "model": "hashing"}, 422, "at most 20000 characters"),
        ({"input": "a", "model": "hashing", "encoding_format": "hex"}, 422, "'float' or 'base64' (got hex)"),
        ({"input": "a", "model": "hashing", "dimensions": 33}, 422, "have 32 numbers, or cut to 8, 16, not 33"),
        ({"input": "a", "model": "hashing", "truncate": True}, 422, "truncate: is not known here; remove it"),
    ],
)
async def test_a_bad_request_is_told_what_is_wrong(
    body: dict[str, Any], status: int, telling: str, client: httpx2.AsyncClient, steered: Any
) -> None:
    answer = await client.post("/v1/embeddings", json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert telling in answer.json()["detail"] == answer.json()["error"]["message"]
    assert steered.tokenised == []


async def test_as_many_texts_as_openai_takes_are_taken(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/v1/embeddings", json={"input": ["a"] * 2048, "model": "hashing", "encoding_format": "base64"})
    assert len(answer.json()["data"]) == 2048
