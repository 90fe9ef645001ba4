"""A server that works has a pulse, however busy; one whose device hangs has none, whatever /health says."""

import asyncio
from typing import Any

import pytest
from aiohttp import web
from tests.fakes import llm as fake
from tests.fakes.llm import FakeLlm

from expander.runtimes import __main__ as command
from expander.runtimes import pulse
from expander.runtimes.errors import DeviceHangs, ServerSilent

PATIENCE_S = 0.5


async def feel(llm: FakeLlm) -> None:
    await asyncio.to_thread(pulse.feel, llm.url, "fake", PATIENCE_S)


async def is_busy_with_others(llm: FakeLlm, _: dict[str, Any]) -> web.StreamResponse:
    """Writes for other callers and leaves this one waiting."""
    llm.tokens += 7
    await llm.released.wait()
    return fake.completion("late")


async def test_a_server_that_writes_a_token_lives(llm: FakeLlm) -> None:
    llm.plays(fake.says("."))
    await feel(llm)
    assert [(sent["model"], sent["max_tokens"]) for sent in llm.requests] == [("fake", 1)]


async def test_a_server_too_busy_to_answer_lives_while_it_writes_for_others(llm: FakeLlm) -> None:
    llm.plays(is_busy_with_others)
    await feel(llm)


@pytest.mark.parametrize("step", [fake.stalls, fake.hangs_up, fake.fails(500)])
async def test_a_server_that_writes_for_nobody_hangs(llm: FakeLlm, step: fake.Step) -> None:
    llm.tokens = 1_000
    llm.plays(step)
    with pytest.raises(DeviceHangs, match="no token"):
        await feel(llm)


async def test_a_refusal_is_a_sign_of_life(llm: FakeLlm) -> None:
    llm.plays(fake.fails(404))
    await feel(llm)


def test_no_server_is_silent_and_not_hanging() -> None:
    with pytest.raises(ServerSilent):
        pulse.feel("http://127.0.0.1:9/v1", "fake", PATIENCE_S)


async def test_the_command_ends_with_a_status_that_a_probe_understands(llm: FakeLlm, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["pulse", "--url", llm.url, "--model", "fake", "--timeout-s", str(PATIENCE_S)]
    llm.plays(fake.says("."))
    assert await asyncio.to_thread(command.main, line) == 0
    llm.plays(fake.stalls)
    assert await asyncio.to_thread(command.main, line) == DeviceHangs.status
    assert "DeviceHangs" in capsys.readouterr().err
