"""The encoder over HTTP: two forms of one answer, and problems that say what to do."""

import asyncio
import struct
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest

from contracts.encoder import BINARY_MEDIA_TYPE, EmbedRequest, EmbedResponse, EncoderIdentity
from encoder import app as encoder_app
from encoder.metrics import EncoderMetrics
from encoder.settings import Settings

TEXTS = ["space opera", "ghosts in the machine", ""]


@pytest.fixture
async def client(steered: Any, tmp_path: Path) -> AsyncIterator[httpx2.AsyncClient]:
    settings = Settings(backend="hashing", state_dir=tmp_path, threads=1, max_queued_texts=256)
    app = encoder_app.assemble(settings, steered, EncoderMetrics())
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    async with app.router.lifespan_context(app), httpx2.AsyncClient(transport=transport, base_url="http://encoder") as opened:
        yield opened
        steered.gate.set()


async def test_json_carries_one_unit_embedding_per_text(client: httpx2.AsyncClient, steered: Any) -> None:
    answer = await client.post("/v1/embed", json={"texts": TEXTS})
    assert answer.headers["content-type"] == "application/json"
    parsed = EmbedResponse.model_validate_json(answer.content)
    assert np.array_equal(np.array(parsed.embeddings, np.float32), steered.embed(TEXTS))
    assert (parsed.dimension, parsed.fingerprint) == (32, steered.identity.fingerprint)


@pytest.mark.parametrize("accept", [BINARY_MEDIA_TYPE, f"application/json;q=0.5, {BINARY_MEDIA_TYPE.upper()}; q=1"])
async def test_binary_and_json_agree(accept: str, client: httpx2.AsyncClient) -> None:
    binary = await client.post("/v1/embed", json={"texts": TEXTS}, headers={"accept": accept})
    parsed = EmbedResponse.model_validate_json((await client.post("/v1/embed", json={"texts": TEXTS})).content)
    assert binary.headers["content-type"] == BINARY_MEDIA_TYPE
    count, dimension = int(binary.headers["x-embedding-count"]), int(binary.headers["x-embedding-dimension"])
    assert (count, dimension) == (len(TEXTS), parsed.dimension)
    assert binary.headers["x-embedding-fingerprint"] == parsed.fingerprint
    flat = struct.unpack(f"<{count * dimension}f", binary.content)
    assert flat == tuple(number for embedding in parsed.embeddings for number in embedding)


async def test_the_fingerprint_is_that_of_the_embeddings(client: httpx2.AsyncClient, steered: Any) -> None:
    identity = EncoderIdentity.model_validate_json((await client.get("/v1/fingerprint")).content)
    assert identity.fingerprint == steered.identity.fingerprint
    assert (identity.model, identity.backend, identity.dimension, identity.max_tokens) == ("hashing", "hashing", 32, 256)


@pytest.mark.parametrize(
    ("body", "telling"),
    [
        ({"texts": []}, "at least 1"),
        ({"texts": ["a"] * 257}, "256"),
        ({"texts": ["a" * 20_001]}, "20000"),
        ({"texts": ["a\x00b"]}, "NUL"),
        ({"texts": [7]}, "string"),
        ({"text": "a"}, "text"),
    ],
)
async def test_a_bad_request_is_told_what_is_wrong(body: dict[str, Any], telling: str, client: httpx2.AsyncClient, steered: Any) -> None:
    answer = await client.post("/v1/embed", json=body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert telling in answer.json()["detail"]
    assert steered.batches == []


@pytest.mark.parametrize("body", [b"{", b"", b"\xff", b'{"texts": ["\\ud800"]}', b" " * 50_000])
async def test_a_body_that_is_not_json_is_a_problem(body: bytes, client: httpx2.AsyncClient) -> None:
    answer = await client.post("/v1/embed", content=body)
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")


@pytest.mark.parametrize(("length", "beside"), [(1, False), (5_000, True)])
async def test_a_long_body_is_read_beside_the_event_loop(
    length: int, beside: bool, client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, threads = EmbedRequest.model_validate_json, []

    def recorded(body: bytes) -> EmbedRequest:
        threads.append(threading.current_thread())
        return read(body)

    monkeypatch.setattr(EmbedRequest, "model_validate_json", recorded)
    assert (await client.post("/v1/embed", json={"texts": ["a" * length] * 10})).status_code == 200
    assert [thread is not threading.current_thread() for thread in threads] == [beside]


@pytest.mark.parametrize("deadline", ["soon", "-1", "nan", "inf"])
async def test_a_deadline_that_is_no_number_is_refused(deadline: str, client: httpx2.AsyncClient) -> None:
    answer = await client.post("/v1/embed", json={"texts": ["a"]}, headers={"x-deadline-ms": deadline})
    assert answer.status_code == 422
    assert "x-deadline-ms" in answer.json()["detail"]


async def test_a_passed_deadline_is_504(client: httpx2.AsyncClient, steered: Any) -> None:
    steered.gate.clear()
    answer = await client.post("/v1/embed", json={"texts": ["a"]}, headers={"x-deadline-ms": "30"})
    assert (answer.status_code, answer.json()["type"]) == (504, "/problems/deadline-passed")


async def test_overload_is_429_and_says_when_to_come_back(client: httpx2.AsyncClient, steered: Any) -> None:
    steered.gate.clear()
    accepted = asyncio.create_task(client.post("/v1/embed", json={"texts": ["a"] * 256}))
    while not steered.batches:
        await asyncio.sleep(0.001)
    refused = await client.post("/v1/embed", json={"texts": ["one more"]})
    assert (refused.status_code, refused.json()["type"]) == (429, "/problems/overloaded")
    assert refused.headers["retry-after"] == "1"
    steered.gate.set()
    assert (await accepted).status_code == 200


@pytest.mark.parametrize("text", ["nan", "explode"])
async def test_a_failing_model_is_500_without_a_trace(text: str, client: httpx2.AsyncClient) -> None:
    answer = await client.post("/v1/embed", json={"texts": [text]})
    assert (answer.status_code, answer.json()["type"]) == (500, "/problems/embedding-broken")
    assert "Traceback" not in answer.text
    assert "gave up" not in answer.text


async def test_ready_means_that_embedding_works(client: httpx2.AsyncClient, steered: Any) -> None:
    assert (await client.get("/readyz")).status_code == 200
    steered.embed = lambda texts: np.full((len(texts), 32), np.nan, np.float32)
    answer = await client.get("/readyz")
    assert answer.status_code == 503
    assert "not finite" in answer.json()["detail"]


async def test_stage_time_and_metrics_are_exposed(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/v1/embed", json={"texts": ["a"]})
    assert "embed;dur=" in answer.headers["server-timing"]
    exposed = (await client.get("/metrics")).text
    assert "encoder_texts_total 1.0" in exposed
    for name in ("batches_total", "tokens_total", "padding_ratio_bucket", "queue_wait_seconds_bucket", "inference_seconds_bucket"):
        assert f"encoder_{name}" in exposed


async def test_both_forms_of_the_answer_are_documented(client: httpx2.AsyncClient) -> None:
    answers = (await client.get("/openapi.json")).json()["paths"]["/v1/embed"]["post"]["responses"]
    assert set(answers["200"]["content"]) == {"application/json", BINARY_MEDIA_TYPE}
