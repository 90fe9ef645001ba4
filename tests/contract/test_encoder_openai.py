"""OpenAI's own Python client against an encoder process: answers, and errors of its own types."""

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import httpx2
import numpy as np
import openai
import pytest

TEXTS = ["space opera", "ghosts in the machine", "!?"]


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    environment = {
        "ENCODER_BACKEND": "hashing",
        "ENCODER_PORT": str(port),
        "ENCODER_STATE_DIR": str(tmp_path_factory.mktemp("encoder")),
        "ENCODER_MAX_QUEUED_TOKENS": "4096",
    }
    process = subprocess.Popen([sys.executable, "-m", "encoder"], env=environment, stderr=subprocess.DEVNULL)
    try:
        wait_ready(f"http://127.0.0.1:{port}", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        assert process.wait(30) == 0


def wait_ready(url: str, process: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        assert process.poll() is None
        try:
            if httpx2.get(f"{url}/readyz").status_code == 200:
                return
        except httpx2.TransportError:
            time.sleep(0.1)
    raise TimeoutError(f"the encoder at {url} is not ready")


@pytest.fixture
def client(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=30) as opened:
        yield opened


@pytest.fixture
def expected(url: str) -> "np.ndarray[tuple[int, int], np.dtype[np.float32]]":
    answer = httpx2.post(f"{url}/v1/embed", json={"texts": TEXTS}, headers={"accept": "application/vnd.warmstart.embeddings"})
    return np.frombuffer(answer.content, "<f4").reshape(len(TEXTS), -1)


def test_the_client_gets_the_embeddings(client: openai.OpenAI, expected: "np.ndarray[tuple[int, int], np.dtype[np.float32]]") -> None:
    answer = client.embeddings.create(input=TEXTS, model="hashing")  # the client asks for base64 and reads it itself
    assert np.array_equal(np.array([row.embedding for row in answer.data], np.float32), expected)
    assert [row.index for row in answer.data] == [0, 1, 2]
    assert (answer.object, answer.model) == ("list", "hashing")
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == 7


def test_the_client_gets_numbers_when_it_asks_for_them(
    client: openai.OpenAI, expected: "np.ndarray[tuple[int, int], np.dtype[np.float32]]"
) -> None:
    answer = client.embeddings.create(input=TEXTS[0], model="hashing", encoding_format="float", dimensions=384, user="somebody")
    assert np.array_equal(np.array(answer.data[0].embedding, np.float32), expected[0])


def test_the_fingerprint_is_in_the_headers(client: openai.OpenAI) -> None:
    raw = client.embeddings.with_raw_response.create(input="a", model="hashing")
    assert raw.headers["x-embedding-fingerprint"].startswith("hashing/fp32/")
    assert "queue;dur=" in raw.headers["server-timing"]


@pytest.mark.parametrize(
    ("options", "error", "telling"),
    [
        ({"model": "text-embedding-3-small"}, openai.NotFoundError, "is not served here"),
        ({"dimensions": 64}, openai.UnprocessableEntityError, "have 384 numbers, not 64"),
        ({"input": [[1, 2, 3]]}, openai.UnprocessableEntityError, "token ids"),
        ({"input": []}, openai.UnprocessableEntityError, "at least 1"),
        ({"extra_headers": {"x-deadline-ms": "0"}}, openai.InternalServerError, "The deadline passed"),
    ],
)
def test_the_client_raises_its_own_errors(
    options: dict[str, object], error: type[openai.APIStatusError], telling: str, client: openai.OpenAI
) -> None:
    with pytest.raises(error, match=telling) as raised:
        client.embeddings.create(**({"input": "a", "model": "hashing"} | options))  # type: ignore[arg-type]
    assert isinstance(raised.value.body, dict)
    assert raised.value.response.headers["content-type"] == "application/problem+json"
    assert raised.value.response.json()["type"] == f"/problems/{raised.value.code}"


async def test_the_client_raises_its_rate_limit_error_when_too_much_waits(url: str) -> None:
    """And by itself comes back after the seconds of Retry-After."""
    texts = [f"{'many words ' * 200}{number}" for number in range(256)]
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=60) as client:
        posts = [client.embeddings.create(input=[f"{text} {turn}" for text in texts], model="hashing") for turn in range(4)]
        answers = await asyncio.gather(*posts, return_exceptions=True)
        refused = [answer for answer in answers if isinstance(answer, openai.RateLimitError)]
        assert refused
        assert all(error.response.headers["retry-after"] == "1" for error in refused)
        assert len(refused) + sum(isinstance(answer, openai.types.CreateEmbeddingResponse) for answer in answers) == 4
        assert (await client.with_options(max_retries=20).embeddings.create(input="patience", model="hashing")).data
