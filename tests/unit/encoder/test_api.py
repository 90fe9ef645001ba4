"""The encoder over HTTP: two forms of one answer, and problems that say what to do."""

import asyncio
import json
import struct
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest

from contracts.encoder import BINARY_MEDIA_TYPE, EmbedRequest, EmbedResponse, EncoderIdentity, EncoderModel
from encoder import app as encoder_app
from encoder.metrics import EncoderMetrics
from encoder.settings import Settings

TEXTS = ["space opera", "ghosts in the machine", "!?"]


@pytest.fixture
async def client(steered: Any, tmp_path: Path) -> AsyncIterator[httpx2.AsyncClient]:
    settings = Settings(backend="hashing", state_dir=tmp_path, threads=1, max_queued_tokens=256, recent_bytes=10_000)
    app = encoder_app.assemble(settings, steered, EncoderMetrics())
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    async with app.router.lifespan_context(app), httpx2.AsyncClient(transport=transport, base_url="http://encoder") as opened:
        yield opened
        steered.gate.set()


async def test_json_carries_one_unit_embedding_per_text(client: httpx2.AsyncClient, steered: Any) -> None:
    answer = await client.post("/v1/embed", json={"texts": TEXTS})
    assert answer.headers["content-type"] == "application/json"
    parsed = EmbedResponse.model_validate_json(answer.content)
    assert np.array_equal(np.array(parsed.embeddings, np.float32), steered.expected(TEXTS))
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
        ({"texts": ["a"] * 10_000}, "texts: has 10000 texts; send at most 256 in one request"),
        ({"texts": ["a"] * 257}, "has 257 texts"),
        ({"texts": ["a" * 1_000_000]}, "texts.0: String should have at most 20000 characters (got aaa"),
        ({"texts": ["a"], "dimensions": 17}, "have 32 numbers, or cut to 8, 16, not 17; ask for one of these"),
        ({"texts": ["a"], "dimensions": 0}, "greater than or equal to 1 (got 0)"),
        ({"texts": ["a"], "dimensions": "many"}, "valid integer"),
        ({"texts": ["a\x00b"]}, "NUL"),
        ({"texts": [""]}, "blank"),
        ({"texts": ["a", " \n\u2003"]}, "texts.1"),
        ({"texts": [7]}, "string"),
        ({"text": "a"}, "text"),
    ],
)
async def test_a_bad_request_is_told_what_is_wrong(body: dict[str, Any], telling: str, client: httpx2.AsyncClient, steered: Any) -> None:
    answer = await client.post("/v1/embed", json=body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert telling in answer.json()["detail"]
    assert steered.tokenised == steered.batches == []


@pytest.mark.parametrize("path", ["/v1/embed", "/v1/embeddings"])
@pytest.mark.parametrize(
    "body", [b"{", b"", b"\xff", b'{"texts": ["\\ud800"]}', b'{"input": ["\xed\xa0\x80"]}', b'{"texts": ["a\xffb"]}', b" " * 50_000]
)
async def test_a_body_that_is_not_json_is_a_problem(body: bytes, path: str, client: httpx2.AsyncClient) -> None:
    answer = await client.post(path, content=body)
    assert "The body is not JSON: " in answer.json()["detail"]
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
    accepted = asyncio.create_task(client.post("/v1/embed", json={"texts": [f"text {number}" for number in range(256)]}))
    while not steered.batches:
        await asyncio.sleep(0.001)
    for path, body in (
        ("embed", {"texts": ["one more"]}),
        ("embed", {"texts": ["a"] * 256}),
        ("embeddings", {"input": "a", "model": "hashing"}),
    ):
        refused = await client.post(f"/v1/{path}", json=body)
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
    steered.expected = lambda texts: np.full((len(texts), 32), np.nan, np.float32)
    answer = await client.get("/readyz")
    assert answer.status_code == 503
    assert "not finite" in answer.json()["detail"]


@pytest.mark.parametrize("texts", [["a"], ["a"] * 256])
async def test_stage_times_are_on_every_answer_and_metrics_are_exposed(texts: list[str], client: httpx2.AsyncClient) -> None:
    for _ in range(2):  # the second from memory
        answer = await client.post("/v1/embed", json={"texts": texts})
        for stage in ("tokenise", "queue", "run", "total"):
            assert f"{stage};dur=" in answer.headers["server-timing"]
    exposed = (await client.get("/metrics")).text
    assert "encoder_texts_total 1.0" in exposed
    for name in ("batches_total", "padding_ratio_bucket", "queue_wait_seconds_bucket", "inference_seconds_bucket", "recent_hits_total"):
        assert f"encoder_{name}" in exposed


async def test_stage_times_are_on_refusals_too(client: httpx2.AsyncClient, steered: Any) -> None:
    answer = await client.post("/v1/embed", json={"texts": ["nan"]})
    assert answer.status_code == 500
    assert "run;dur=" in answer.headers["server-timing"]


async def test_an_embedding_is_cut_where_the_model_allows(client: httpx2.AsyncClient, steered: Any) -> None:
    model = EncoderModel.model_validate_json((await client.get("/v1/model")).content)
    texts = TEXTS[:2]
    whole = steered.expected(texts)[:, :16]
    for accept in ("application/json", BINARY_MEDIA_TYPE):
        answer = await client.post("/v1/embed", json={"texts": texts, "dimensions": 16}, headers={"accept": accept})
        if accept == BINARY_MEDIA_TYPE:
            rows = np.frombuffer(answer.content, "<f4").reshape(-1, 16)
            told = answer.headers["x-embedding-fingerprint"]
        else:
            parsed = EmbedResponse.model_validate_json(answer.content)
            rows, told = np.array(parsed.embeddings), parsed.fingerprint
        assert np.allclose(rows, whole / np.linalg.norm(whole, axis=1, keepdims=True), atol=1e-6)
        assert told == model.dimensions[16] != model.fingerprint


async def test_the_model_says_what_it_is(client: httpx2.AsyncClient, steered: Any) -> None:
    told = EncoderModel.model_validate_json((await client.get("/v1/model")).content)
    assert (told.model, told.precision, told.pooling, told.normalisation, told.prefix) == ("hashing", "fp32", "sum", "l2", "")
    assert list(told.dimensions) == [32, 8, 16]
    assert told.dimensions[32] == told.fingerprint == steered.identity.fingerprint
    assert (told.ladder.lengths, told.ladder.texts, told.ladder.positions) == (steered.ladder.lengths, 4, 4096)
    assert told.golden_passages == 0


async def test_bulk_passages_wait_for_online_ones(client: httpx2.AsyncClient, steered: Any) -> None:
    steered.gate.clear()
    posts = [asyncio.create_task(client.post("/v1/embed", json={"texts": ["running"]}))]
    while not steered.batches:
        await asyncio.sleep(0.001)
    for text, priority in (("bulk", "Bulk"), ("online", "online")):
        posts.append(asyncio.create_task(client.post("/v1/embed", json={"texts": [text]}, headers={"x-priority": priority})))
        while text not in steered.tokenised:
            await asyncio.sleep(0.001)
    steered.gate.set()
    assert [answer.status_code for answer in await asyncio.gather(*posts)] == [200] * 3
    assert steered.batches == [["running"], ["online"], ["bulk"]]


async def test_an_unknown_priority_is_refused(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/v1/embed", json={"texts": ["a"]}, headers={"x-priority": "urgent"})
    assert answer.status_code == 422
    assert "x-priority: is neither online nor bulk; send one of them or leave it out (got urgent)" in answer.json()["detail"]


@pytest.mark.parametrize("path", ["/v1/embed", "/v1/embeddings"])
async def test_passages_of_a_caller_that_left_are_not_embedded(path: str, client: httpx2.AsyncClient, steered: Any) -> None:
    steered.gate.clear()
    running = asyncio.create_task(client.post("/v1/embed", json={"texts": ["running"]}))
    while not steered.batches:
        await asyncio.sleep(0.001)
    body = json.dumps({"texts": ["left behind"]} if path == "/v1/embed" else {"input": "left behind", "model": "hashing"}).encode()
    leaving, sent = asyncio.Event(), list[Any]()

    async def receive() -> Any:
        if not leaving.is_set():
            leaving.set()
            return {"type": "http.request", "body": body, "more_body": False}
        while "left behind" not in steered.tokenised:
            await asyncio.sleep(0.001)
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b"", "headers": [], "root_path": ""}
    app = client._transport.app  # type: ignore[attr-defined]
    await app({**scope, "scheme": "http", "server": ("encoder", 80), "client": None, "http_version": "1.1"}, receive, send)
    steered.gate.set()
    await running
    exposed = (await client.get("/metrics")).text
    assert sent == []
    assert steered.batches == [["running"]]
    assert f'encoder_requests_total{{method="POST",route="{path}",status="499"}} 1.0' in exposed
    assert "encoder_dropped_texts_total 1.0" in exposed


async def test_both_forms_of_the_answer_are_documented(client: httpx2.AsyncClient) -> None:
    described = (await client.get("/openapi.json")).json()["paths"]["/v1/embed"]["post"]
    assert set(described["responses"]["200"]["content"]) == {"application/json", BINARY_MEDIA_TYPE}
    assert [parameter["name"] for parameter in described["parameters"]] == ["x-deadline-ms", "x-priority"]


@pytest.mark.parametrize(("threads", "runs", "at_once"), [(0, 3, 3), (2, 3, 2)])
async def test_as_many_batches_run_at_once_as_suits_the_device(threads: int, runs: int, at_once: int, steered: Any, tmp_path: Path) -> None:
    steered.ladder = replace(steered.ladder, runs=runs)
    steered.gate.clear()
    app = encoder_app.assemble(Settings(backend="hashing", state_dir=tmp_path, threads=threads), steered, EncoderMetrics())
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://encoder") as client,
    ):
        post = asyncio.create_task(client.post("/v1/embed", json={"texts": [f"text {number}" for number in range(40)]}))
        while len(steered.batches) < at_once:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.05)
        assert len(steered.batches) == at_once
        steered.gate.set()
        assert (await post).status_code == 200
