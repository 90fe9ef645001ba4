"""A job that is killed goes on where it was: nothing that was finished is asked for again, and nothing is lost."""

import asyncio
import json
import signal
import sys
from pathlib import Path

import pytest
from tests.fakes.writer import FakeWriter, description_of, tags_of

from servicekit.settings import environment_with

COUNT, BATCH, IN_FLIGHT = 60, 4, 2


class Job:
    """The real command in a process of its own, from one file to another."""

    def __init__(self, folder: Path, url: str) -> None:
        self.source, self.out = folder / "items.ndjson", folder / "enriched.ndjson"
        self.source.write_text("".join(json.dumps({"id": f"i{at}", "title": f"Book {at}"}) + "\n" for at in range(COUNT)))
        pace = ("--batch", str(BATCH), "--in-flight", str(IN_FLIGHT))
        files = ("--input", str(self.source), "--out", str(self.out), "--journal", str(folder / "journal.sqlite3"))
        self.command = (sys.executable, "-m", "pipelines", "enrich", *files, "--expander", url, *pace)

    async def start(self) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *self.command, env=environment_with(), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )


async def asked_for(writer: FakeWriter, requests: int) -> None:
    async with asyncio.timeout(30):
        while len(writer.asked) < requests:
            await asyncio.sleep(0.005)


@pytest.fixture
async def slow(writer: FakeWriter) -> FakeWriter:
    writer.delay_s = 0.05
    return writer


async def test_a_killed_job_goes_on_where_it_was(slow: FakeWriter, tmp_path: Path) -> None:
    job = Job(tmp_path, slow.url)
    kills = 3
    for _ in range(kills):
        process = await job.start()
        await asked_for(slow, len(slow.asked) + 4)
        process.kill()
        assert await process.wait() == -signal.SIGKILL
        assert not job.out.exists()
    process = await job.start()
    told, _ = await process.communicate()
    assert process.returncode == 0, told
    assert set(slow.ids) == {f"i{at}" for at in range(COUNT)}
    assert len(slow.ids) - COUNT <= kills * IN_FLIGHT * BATCH, "only what was in flight is asked for again"
    rows = [json.loads(line) for line in job.out.read_text().splitlines()]
    assert [row["id"] for row in rows] == [f"i{at}" for at in range(COUNT)]
    for row in rows:
        assert row["attributes"]["enriched_tags"] == tags_of(row["title"])
        assert row["attributes"]["enriched_description"] == description_of(row["title"])


async def test_a_job_that_is_told_to_end_does_and_goes_on_later(slow: FakeWriter, tmp_path: Path) -> None:
    job = Job(tmp_path, slow.url)
    process = await job.start()
    await asked_for(slow, 4)
    process.terminate()
    assert await asyncio.wait_for(process.wait(), 20) == 130
    slow.delay_s = 0
    process = await job.start()
    told, _ = await process.communicate()
    assert process.returncode == 0, told
    assert len(job.out.read_text().splitlines()) == COUNT


async def test_two_jobs_do_not_share_a_journal(slow: FakeWriter, tmp_path: Path) -> None:
    slow.delay_s = 60
    job = Job(tmp_path, slow.url)
    first = await job.start()
    await asked_for(slow, 1)
    second = await job.start()
    told, _ = await second.communicate()
    assert second.returncode == 1
    assert b"JournalRefused" in told
    assert b"another run has it" in told
    first.kill()
    await first.communicate()


async def test_a_failed_item_makes_the_exit_status_tell(slow: FakeWriter, tmp_path: Path) -> None:
    slow.delay_s, slow.unusable = 0, {"i3"}
    process = await Job(tmp_path, slow.url).start()
    told, _ = await process.communicate()
    assert process.returncode == 1
    assert b"EnrichIncomplete: 1 items could not be enriched" in told
    assert b"Traceback" not in told
