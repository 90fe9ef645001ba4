"""The client tries again what may pass, gives up what will not, and takes no answer on trust."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from aiohttp import web
from tests.fakes.services import DIMENSION, Behaviour, FakeEncoder, embedding_of, problem

from pipelines.embed.encoder import Encoder, Space
from pipelines.embed.faults import EncoderRefused, FingerprintChanged

SPACE = Space("fake-1", DIMENSION)


class Flaky(FakeEncoder):
    """Answers the first requests with what stands in `script`: a status, `drop` (the connection breaks) or `short` (half a body)."""

    def __init__(self) -> None:
        super().__init__()
        self.script: list[int | str] = []
        self.headers: list[Any] = []
        self.retry_after = "0"

    async def embed(self, request: web.Request) -> web.Response:
        self.headers.append(request.headers.copy())
        match self.script.pop(0) if self.script else 200:
            case 200:
                return await super().embed(request)
            case "drop":
                assert request.transport is not None
                request.transport.abort()
                return web.Response()
            case "short":
                whole = await super().embed(request)
                assert isinstance(whole.body, bytes)
                whole.body = whole.body[:-4]
                return whole
            case status:
                refused = problem(int(status), "refused", "Not now.")
                refused.headers["retry-after"] = self.retry_after
                return refused


@pytest.fixture
async def fake() -> AsyncIterator[Flaky]:
    async with Flaky() as server:
        yield server


async def embedded(fake: Flaky, *texts: str, patience_s: float = 10) -> tuple[Any, int]:
    async with Encoder(fake.url, patience_s) as encoder:
        return await encoder.embed(texts or ("space opera",), SPACE), encoder.retries


async def test_embeddings_come_in_order_as_float32(fake: Flaky) -> None:
    rows, retries = await embedded(fake, "space opera", "first love")
    assert rows.dtype == np.float32
    assert retries == 0
    np.testing.assert_allclose(rows, [embedding_of("space opera"), embedding_of("first love")], atol=1e-6)


async def test_requests_are_bulk_have_a_deadline_and_ask_for_bytes(fake: Flaky) -> None:
    await embedded(fake)
    sent = fake.headers[0]
    assert sent["x-priority"] == "bulk"
    assert float(sent["x-deadline-ms"]) > 0
    assert sent["accept"] == "application/vnd.warmstart.embeddings"


@pytest.mark.parametrize("script", [[429, 429], [503], [504], ["drop", 429, "drop"], [500, 500]])
async def test_what_may_pass_is_tried_again(fake: Flaky, script: list[int | str]) -> None:
    fake.script = list(script)
    rows, retries = await embedded(fake)
    assert retries == len(script)
    np.testing.assert_allclose(rows, [embedding_of("space opera")], atol=1e-6)


async def test_retry_after_is_waited_for(fake: Flaky) -> None:
    fake.script, fake.retry_after = [429], "1"
    started = time.monotonic()
    await embedded(fake)
    assert time.monotonic() - started >= 1


async def test_patience_ends(fake: Flaky) -> None:
    fake.script = [429] * 1_000
    started = time.monotonic()
    with pytest.raises(EncoderRefused, match=r"/v1/embed after \d+ more tries: 429 Not now"):
        await embedded(fake, patience_s=0.5)
    assert 0.4 < time.monotonic() - started < 5


async def test_passages_on_which_the_model_fails_are_given_up_after_three_tries(fake: Flaky) -> None:
    fake.script = [500] * 1_000
    with pytest.raises(EncoderRefused, match="after 2 more tries: 500"):
        await embedded(fake)


async def test_a_refusal_of_the_passages_is_final_and_tells_the_reason(fake: Flaky) -> None:
    with pytest.raises(EncoderRefused, match="at the first try: 422 A text contains 'unembeddable'"):
        await embedded(fake, "unembeddable")
    assert len(fake.headers) == 1


async def test_an_answer_of_another_length_is_refused(fake: Flaky) -> None:
    fake.script = ["short"]
    with pytest.raises(EncoderRefused, match="to 1 passages"):
        await embedded(fake)


async def test_an_embedding_that_is_none_is_refused(fake: Flaky) -> None:
    fake.behaviour = Behaviour.SENDS_NAN
    with pytest.raises(EncoderRefused, match="not finite or not unit length"):
        await embedded(fake)


async def test_another_space_is_refused(fake: Flaky) -> None:
    fake.fingerprint = "fake-2"
    with pytest.raises(FingerprintChanged, match="fake-2 now and did into fake-1"):
        await embedded(fake)


async def test_an_encoder_that_is_still_starting_is_waited_for(fake: Flaky) -> None:
    await fake.stop()
    async with Encoder(fake.url, 10) as encoder:
        waiting = asyncio.create_task(encoder.space())
        await asyncio.sleep(0.3)
        await fake.start()
        assert await waiting == SPACE
        assert encoder.retries >= 1
