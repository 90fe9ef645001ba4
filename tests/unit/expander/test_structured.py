"""What the canary finds out at start, and what then is sent."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
import structlog
from tests.fakes import llm as fake
from tests.fakes.llm import FakeLlm, fake_llm
from tests.unit.expander.questions import asking, until

from expander.backends.chat import Chat
from expander.metrics import FINDINGS, ExpanderMetrics
from expander.runtimes.table import PROFILES
from expander.structured import Structure, Structured
from servicekit import client

SENDING = ("trn2", "gpu", "cpu", "external")


@dataclass
class Finding:
    """What is being found out about a server."""

    structure: Structure
    metrics: ExpanderMetrics

    async def found(self) -> str:
        await until(lambda: self.structure.known.found != "unknown")
        return self.structure.known.found

    def shown(self) -> list[str]:
        value = self.metrics.registry.get_sample_value
        return [each for each in FINDINGS if value("expander_llm_structured_output", {"found": each})]


@asynccontextmanager
async def finding(url: str, profile: str = "external") -> AsyncIterator[Finding]:
    metrics = ExpanderMetrics()
    async with client.connections(0) as session:
        structure = Structure(Chat(url, "fake", session, metrics), PROFILES[profile], metrics.llm, pauses_s=(0.02,))
        structure.find_out()
        try:
            yield Finding(structure, metrics)
        finally:
            await structure.close()


FOUND = {"honoured": fake.obeys_schema, "ignored": fake.says("Good morning!"), "refused": fake.refuses_response_format}


@pytest.mark.parametrize("profile", sorted(PROFILES))
@pytest.mark.parametrize("found", FOUND)
async def test_the_format_is_sent_where_the_profile_sends_it_and_the_server_obeys(llm: FakeLlm, found: str, profile: str) -> None:
    llm.canary = FOUND[found]
    async with finding(llm.url, profile) as learnt:
        assert learnt.structure.sent is (profile in SENDING)  # nothing is known yet
        assert learnt.shown() == ["unknown"]
        assert await learnt.found() == found
        assert learnt.structure.known == Structured(found, PROFILES[profile].structured_output, profile in SENDING and found == "honoured")
        assert learnt.shown() == [found]
    assert len(llm.canaries) == 1


async def test_a_server_that_refuses_everything_has_not_refused_the_format(llm: FakeLlm) -> None:
    llm.canary = fake.fails(400)
    llm.plays(fake.fails(400))
    async with finding(llm.url) as learnt:
        await until(lambda: len(llm.canaries) > 2)
        assert learnt.structure.known.found == "unknown"


@pytest.mark.parametrize("step", [fake.fails(503), fake.fails(404), fake.hangs_up, fake.sends(b"starting")])
async def test_a_server_that_is_slow_to_start_is_asked_until_it_answers(llm: FakeLlm, step: fake.Step) -> None:
    llm.canary = step
    async with finding(llm.url) as learnt:
        await until(lambda: len(llm.canaries) > 2)
        assert learnt.structure.known.found == "unknown"
        llm.canary = fake.obeys_schema
        assert await learnt.found() == "honoured"
        asked = len(llm.canaries)
        await asyncio.sleep(0.1)
        assert len(llm.canaries) == asked


async def test_a_server_that_is_not_there_yet_is_found_when_it_comes(unused_tcp_port: int) -> None:
    async with finding(f"http://127.0.0.1:{unused_tcp_port}/v1") as learnt:
        await asyncio.sleep(0.1)
        assert learnt.structure.known.found == "unknown"
        async with fake_llm(unused_tcp_port):
            assert await learnt.found() == "honoured"


async def test_closing_stops_a_question_that_hangs(llm: FakeLlm) -> None:
    llm.canary = fake.stalls
    async with finding(llm.url):
        await until(lambda: llm.canaries)
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "canary"]


async def test_what_a_profile_promises_and_the_server_does_not_do_is_logged(llm: FakeLlm) -> None:
    llm.canary = fake.says("Good morning!")
    with structlog.testing.capture_logs() as logged:
        async with finding(llm.url, "gpu") as learnt:
            await learnt.found()
    assert [line["event"] for line in logged if line["log_level"] == "warning"] == ["structured_output_missing"]


async def test_asking_never_waits_for_the_canary(llm: FakeLlm) -> None:
    llm.canary = fake.stalls
    async with asking(llm) as asked:
        assert (await asked.ask()).value == fake.GOOD
        assert asked.llm.structured == Structured("unknown", "probed", sent=True)
    assert "response_format" in llm.requests[0]


async def test_the_server_that_comes_back_after_a_failure_is_asked_again(llm: FakeLlm) -> None:
    async with asking(llm, concurrency=8) as asked:
        await until(lambda: asked.llm.structured.found == "honoured")
        llm.plays(fake.fails(500))
        assert set(await asked.outcomes(8)) == {"refused"}
        llm.canary = fake.says("Good morning!")
        llm.plays(fake.lists(*fake.GOOD))
        async with asyncio.timeout(5):
            while "answered" not in await asked.outcomes(1):
                await asyncio.sleep(0.05)
        await until(lambda: asked.llm.structured.found == "ignored")
        await asked.ask()
    assert "response_format" not in llm.requests[-1]


async def test_a_refused_format_is_left_out_from_then_on(llm: FakeLlm) -> None:
    llm.canary = fake.stalls
    llm.plays(fake.refuses_response_format)
    async with asking(llm) as asked:
        assert await asked.outcomes(1) + await asked.outcomes(1) == ["answered"] * 2
        assert asked.llm.structured == Structured("refused", "probed", sent=False)
    assert ["response_format" in sent for sent in llm.requests] == [True, False, False]


async def test_the_format_is_kept_when_it_was_not_what_was_refused(llm: FakeLlm) -> None:
    llm.plays(fake.fails(400), fake.fails(400), fake.lists(*fake.GOOD))
    async with asking(llm) as asked:
        assert await asked.outcomes(1) + await asked.outcomes(1) == ["refused", "answered"]
    assert ["response_format" in sent for sent in llm.requests] == [True, False, True]


async def test_a_server_known_to_take_the_format_is_not_asked_twice_for_each_bad_question(llm: FakeLlm) -> None:
    async with asking(llm, retry_share=0.0) as asked:
        await until(lambda: asked.llm.structured.found == "honoured")
        llm.plays(fake.fails(400))
        assert await asked.outcomes(3) == ["refused"] * 3
    assert len(llm.requests) == 3
