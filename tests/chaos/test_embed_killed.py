"""`python -m pipelines embed` as a process that is killed, told to end, and started without an encoder."""

import asyncio
import json
import random
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from aiohttp import web
from tests.fakes.services import FakeEncoder, embedding_of, problem

from pipelines.embed.job import AHEAD
from servicekit.settings import environment_with

ROWS, BATCH, IN_FLIGHT, PART = 1_500, 10, 4, 100
LOST = PART + BATCH + AHEAD * IN_FLIGHT * BATCH
"""Rows that may have been embedded and not kept when a run is killed: a part that is not full, and what was in flight."""
TEXTS = [f"word{number % 23} of book {number}" for number in range(ROWS)]


class Slow(FakeEncoder):
    """Takes its time, and refuses one request in nine with 429, breaks the connection of one in eleven."""

    def __init__(self) -> None:
        super().__init__()
        self.served = 0

    async def embed(self, request: web.Request) -> web.Response:
        self.served += 1
        await asyncio.sleep(0.01)
        if self.served % 9 == 0:
            refused = problem(429, "overloaded", "Too many.")
            refused.headers["retry-after"] = "0"
            return refused
        if self.served % 11 == 0 and request.transport is not None:
            request.transport.abort()
        return await super().embed(request)


@pytest.fixture
async def fake() -> AsyncIterator[Slow]:
    async with Slow() as server:
        yield server


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "items.ndjson"
    path.write_text("".join(json.dumps({"id": f"i{number}", "text": text}) + "\n" for number, text in enumerate(TEXTS)))
    return path


async def started(source: Path, *options: str, **environment: str) -> asyncio.subprocess.Process:
    command = ["-m", "pipelines", "embed", str(source), "--out", str(source.with_name("out.npz")), *options]
    shape = ["--batch", str(BATCH), "--in-flight", str(IN_FLIGHT), "--part-rows", str(PART)]
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        *shape,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=environment_with(**environment),
    )


def kept(source: Path) -> int:
    """Rows that the manifest counts; each of its parts holds as many as it says, all of them whole."""
    folder = source.with_name("out.npz.parts")
    if not (folder / "manifest.json").exists():
        return 0
    manifest = json.loads((folder / "manifest.json").read_text())
    at = 0
    for part in manifest["parts"]:
        with np.load(folder / part["file"]) as held:
            assert held["ids"].tolist() == [f"i{number}" for number in range(at, at + part["rows"])]
            assert held["embeddings"].shape == (part["rows"], manifest["origin"]["dimension"])
            np.testing.assert_allclose(held["embeddings"][0], embedding_of(TEXTS[at]), atol=1e-6)
        at += part["rows"]
    assert at == manifest["rows"]
    return at


async def until_embedded(fake: Slow, more: int) -> None:
    aim = len(fake.texts) + more
    while len(fake.texts) < aim:
        await asyncio.sleep(0.005)


async def test_a_job_that_is_killed_again_and_again_loses_a_part_each_time_and_no_row_of_its_output(fake: Slow, source: Path) -> None:
    drawn = random.Random(4)
    for _ in range(3):
        before = len(fake.texts)
        process = await started(source, "--encoder", fake.url)
        held = kept(source)
        await until_embedded(fake, drawn.randint(PART // 2, 3 * PART))
        process.kill()
        await process.wait()
        assert kept(source) - held >= len(fake.texts) - before - LOST
    process = await started(source, "--encoder", fake.url)
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    with np.load(source.with_name("out.npz")) as out:
        assert out["ids"].tolist() == [f"i{number}" for number in range(ROWS)]
        np.testing.assert_allclose(out["embeddings"], [embedding_of(text) for text in TEXTS], atol=1e-6)
    assert len(fake.texts) <= ROWS + 3 * LOST + ROWS // 5  # what was answered into broken connections was embedded twice too
    assert not source.with_name("out.npz.parts").exists()


async def test_a_job_that_is_told_to_end_ends_at_once_with_status_130_and_goes_on_later(fake: Slow, source: Path) -> None:
    process = await started(source, "--encoder", fake.url)
    await until_embedded(fake, 3 * PART)
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), 10) == 130
    assert kept(source) >= PART


async def test_a_changed_fingerprint_ends_the_job_with_status_1_and_one_line(fake: Slow, source: Path) -> None:
    process = await started(source, "--encoder", fake.url)
    await until_embedded(fake, 3 * PART)
    fake.fingerprint = "fake-2"
    said, _ = await process.communicate()
    assert process.returncode == 1
    assert "FingerprintChanged: The encoder at" in said.decode().splitlines()[-1]


async def test_without_an_address_an_encoder_is_started_and_stopped_again(source: Path, tmp_path: Path) -> None:
    process = await started(source, "--state", str(tmp_path / "state"), ENCODER_BACKEND="hashing")
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    assert f"{ROWS:,} embeddings of 384 numbers, hashing/" in said.decode()
    with np.load(source.with_name("out.npz")) as out:
        np.testing.assert_allclose(np.linalg.norm(out["embeddings"], axis=1), 1, atol=1e-5)
        assert out["embeddings"].shape == (ROWS, 384)
    assert '"service_stopped"' in (tmp_path / "state" / "logs" / "encoder.log").read_text()
