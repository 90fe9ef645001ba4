"""Bad input costs its callers an answer and the encoder nothing that lasts."""

import gc
import json
import tracemalloc
from pathlib import Path
from typing import Any

import httpx2

from encoder import app as encoder_app
from encoder.metrics import EncoderMetrics
from encoder.settings import Settings

BAD: list[tuple[str, bytes, int]] = [
    ("/v1/embed", json.dumps({"texts": [""]}).encode(), 422),
    ("/v1/embed", json.dumps({"texts": ["some", " \n\u2003"]}).encode(), 422),
    ("/v1/embeddings", json.dumps({"input": "", "model": "hashing"}).encode(), 422),
    ("/v1/embed", json.dumps({"texts": ["a" * 1_000_000]}).encode(), 422),
    ("/v1/embed", json.dumps({"texts": ["a"] * 10_000}).encode(), 422),
    ("/v1/embed", b'{"texts": ["' + b"\xff" * 10_000 + b'"]}', 400),
    ("/v1/embed", b'{"texts": ["' + b"\\ud800" * 10_000 + b'"]}', 400),
    ("/v1/embed", b'{"texts": [' + b"[" * 10_000, 400),
    ("/v1/embed", json.dumps({"texts": ["untokenisable"]}).encode(), 500),
    ("/v1/embed", json.dumps({"texts": ["explode"]}).encode(), 500),
    ("/v1/embeddings", json.dumps({"input": ["a"] * 10_000, "model": "hashing"}).encode(), 422),
    ("/v1/embeddings", json.dumps({"input": list(range(10_000)), "model": "hashing"}).encode(), 422),
    ("/v1/embeddings", json.dumps({"input": "a", "model": "m" * 100_000}).encode(), 422),
    ("/v1/embeddings", json.dumps({"input": "a", "model": "other"}).encode(), 404),
    ("/v1/embed", b"[" * 1_200_000, 413),
]


async def test_memory_is_stable_under_bad_input(steered: Any, tmp_path: Path) -> None:
    settings = Settings(backend="hashing", state_dir=tmp_path, threads=1, max_json_bytes=1_100_000)
    app = encoder_app.assemble(settings, steered, EncoderMetrics())
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    async with app.router.lifespan_context(app), httpx2.AsyncClient(transport=transport, base_url="http://encoder") as client:

        async def send_all() -> int:
            for path, body, status in BAD:
                answer = await client.post(path, content=body)
                assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
                assert len(answer.content) < 20_000
                assert (await client.post("/v1/embed", json={"texts": ["fine"]})).status_code == 200
            gc.collect()
            return tracemalloc.get_traced_memory()[0]

        await send_all()
        tracemalloc.start()
        try:
            before = await send_all()
            after = [await send_all() for _ in range(2)][-1]
        finally:
            tracemalloc.stop()
    assert after - before < 200_000
    assert app.state.batcher.admission.refusal() is None
