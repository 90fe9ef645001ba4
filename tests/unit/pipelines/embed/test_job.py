"""The job embeds every row once and in order, goes on where it stopped, and refuses to mix spaces."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from aiohttp import web
from tests.fakes.services import FakeEncoder, embedding_of, problem

from pipelines.embed import job
from pipelines.embed.catalogue import Catalogue
from pipelines.embed.encoder import Encoder
from pipelines.embed.faults import EmbedFailed, EncoderRefused, FingerprintChanged, ResumeRefused
from pipelines.embed.job import Pace

ROWS = 205
PACE = Pace(batch=4, in_flight=3, part_rows=16)
TEXTS = [f"word{number % 17} of book {number}" for number in range(ROWS)]


class Unsteady(FakeEncoder):
    """Notes how many requests are in flight and answers the later ones of a few earlier. Refuses all after `fails_after` requests."""

    def __init__(self) -> None:
        super().__init__()
        self.served, self.now, self.most, self.fails_after, self.becomes = 0, 0, 0, 10**9, ""

    async def embed(self, request: web.Request) -> web.Response:
        self.served += 1
        self.now += 1
        self.most = max(self.most, self.now)
        if self.served > self.fails_after and self.becomes:
            self.fingerprint = self.becomes
        try:
            await asyncio.sleep(0.004 * (self.served % 3))
            if self.served > self.fails_after and not self.becomes:
                return problem(422, "text-refused", "No more.")
            return await super().embed(request)
        finally:
            self.now -= 1


@pytest.fixture
async def fake() -> AsyncIterator[Unsteady]:
    async with Unsteady() as server:
        yield server


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    path = tmp_path / "items.ndjson"
    path.write_text("".join(json.dumps({"id": f"i{number}", "text": text}) + "\n" for number, text in enumerate(TEXTS)))
    return Catalogue(path, "id", ("text",))


async def run(fake: Unsteady, catalogue: Catalogue, out: Path) -> None:
    async with Encoder(fake.url, patience_s=5) as encoder:
        await job.run(encoder, catalogue, catalogue.survey(), out, PACE, skip_unusable=False)


def assert_whole(out: Path) -> None:
    with np.load(out) as held:
        assert held["ids"].tolist() == [f"i{number}" for number in range(ROWS)]
        np.testing.assert_allclose(held["embeddings"], [embedding_of(text) for text in TEXTS], atol=1e-6)
    assert not out.with_name(out.name + ".parts").exists()


async def test_every_row_is_embedded_once_in_order_with_several_requests_in_flight(
    fake: Unsteady, catalogue: Catalogue, tmp_path: Path
) -> None:
    await run(fake, catalogue, tmp_path / "out.npz")
    assert_whole(tmp_path / "out.npz")
    assert sorted(fake.texts) == sorted(TEXTS)
    assert 2 <= fake.most <= PACE.in_flight


async def test_a_run_that_failed_goes_on_and_loses_at_most_a_part(fake: Unsteady, catalogue: Catalogue, tmp_path: Path) -> None:
    fake.fails_after = 30
    with pytest.raises(EncoderRefused, match=r"From 'i\d+' to 'i\d+': .*422 No more"):
        await run(fake, catalogue, tmp_path / "out.npz")
    assert not (tmp_path / "out.npz").exists()
    fake.fails_after = 10**9
    await run(fake, catalogue, tmp_path / "out.npz")
    assert_whole(tmp_path / "out.npz")
    assert len(fake.texts) - ROWS <= PACE.part_rows + job.AHEAD * PACE.in_flight * PACE.batch


async def test_a_second_run_over_a_whole_output_embeds_nothing(fake: Unsteady, catalogue: Catalogue, tmp_path: Path) -> None:
    await run(fake, catalogue, tmp_path / "out.npz")
    before = (tmp_path / "out.npz").read_bytes()
    fake.texts.clear()
    await run(fake, catalogue, tmp_path / "out.npz")
    assert fake.texts == []
    assert (tmp_path / "out.npz").read_bytes() == before


async def test_a_model_that_changes_in_the_midst_stops_the_run_and_the_next_one(
    fake: Unsteady, catalogue: Catalogue, tmp_path: Path
) -> None:
    fake.fails_after, fake.becomes = 20, "fake-2"
    with pytest.raises(FingerprintChanged, match="fake-2 now and did into fake-1"):
        await run(fake, catalogue, tmp_path / "out.npz")
    with pytest.raises(ResumeRefused, match="fingerprint 'fake-1' -> 'fake-2'"):
        await run(fake, catalogue, tmp_path / "out.npz")
    fake.fingerprint, fake.fails_after = "fake-1", 10**9
    await run(fake, catalogue, tmp_path / "out.npz")
    assert_whole(tmp_path / "out.npz")


@pytest.mark.parametrize("whole", [True, False])
async def test_another_input_is_refused_whether_the_former_was_done_or_not(
    fake: Unsteady, catalogue: Catalogue, tmp_path: Path, whole: bool
) -> None:
    fake.fails_after = 10**9 if whole else 30
    try:
        await run(fake, catalogue, tmp_path / "out.npz")
    except EmbedFailed:
        assert not whole
    catalogue.path.write_text(catalogue.path.read_text().replace("book 204", "book 205"))
    fake.fails_after = 10**9
    with pytest.raises(ResumeRefused, match="input_sha256"):
        await run(fake, catalogue, tmp_path / "out.npz")
