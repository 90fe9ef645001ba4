"""Whether a served model obeys a schema, asked of servers that do, do not, and refuse."""

import asyncio
import json

import pytest
from tests.fakes import llm as fake
from tests.fakes.llm import FakeLlm

from expander.runtimes import __main__ as command
from expander.runtimes import canary
from expander.runtimes.errors import ServerSilent


async def ask(llm: FakeLlm) -> str:
    return await asyncio.to_thread(canary.ask, llm.url, "fake", 5.0)


async def test_a_server_that_obeys_is_found_to(llm: FakeLlm) -> None:
    llm.canary = fake.obeys_schema
    assert await ask(llm) == canary.HONOURED


@pytest.mark.parametrize("text", ["Good morning!", '{"word": "good morning"}', "", None, '{"topics": []}', "[]"])
async def test_a_server_that_answers_anything_else_ignores_the_schema(llm: FakeLlm, text: str | None) -> None:
    llm.canary = fake.says(text)
    assert await ask(llm) == canary.IGNORED


async def test_a_server_that_refuses_the_format_is_told_apart(llm: FakeLlm) -> None:
    llm.canary = fake.refuses_response_format
    assert await ask(llm) == canary.REFUSED


async def test_the_word_is_another_each_time_and_not_in_the_prompt(llm: FakeLlm) -> None:
    llm.canary = fake.obeys_schema
    await ask(llm)
    await ask(llm)
    words = [sent["response_format"]["json_schema"]["schema"]["properties"]["word"]["enum"][0] for sent in llm.canaries]
    assert words[0] != words[1]
    assert all(word not in json.dumps(sent["messages"]) for word, sent in zip(words, llm.canaries, strict=True))


@pytest.mark.parametrize("step", [fake.fails(500), fake.fails(404), fake.hangs_up])
async def test_a_server_that_does_not_answer_is_an_error(llm: FakeLlm, step: fake.Step) -> None:
    llm.canary = step
    with pytest.raises(ServerSilent):
        await ask(llm)


@pytest.mark.parametrize(
    ("profile", "step", "status"),
    [("cpu", fake.obeys_schema, 0), ("cpu", fake.says("Hello"), 1), ("trn1-sdk2.28", fake.says("Hello"), 0), ("trn2", fake.fails(500), 76)],
)
async def test_the_command_fails_when_the_profile_promises_what_the_server_does_not(
    llm: FakeLlm, capsys: pytest.CaptureFixture[str], profile: str, step: fake.Step, status: int
) -> None:
    llm.canary = step
    line = ["canary", "--url", llm.url, "--model", "fake", "--profile", profile]
    assert await asyncio.to_thread(command.main, line) == status
    printed = capsys.readouterr()
    assert (json.loads(printed.out)["kept"] is (status == 0)) if status < 2 else "ServerSilent" in printed.err
