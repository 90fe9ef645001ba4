"""Completions of a fixed length are asked for as the server allows, timed, and every failure has a name."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from tests.fakes.completions import Completions, serving

from pipelines.sweep.client import Client
from pipelines.sweep.endpoints import Endpoint
from pipelines.sweep.faults import EndpointUnusable
from pipelines.sweep.runs import Failed


@asynccontextmanager
async def client(
    server: Completions, *, model: str = "fake", ttft: bool = False, timeout_s: float = 5.0, key_file: Path | None = None
) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession() as session:
        yield Client(Endpoint("it", server.url, model, 1, 1, key_file=key_file), session, timeout_s, ttft=ttft)


@pytest.mark.parametrize(
    ("refuses", "fixed", "sent"),
    [
        ((), "ignore_eos and min_tokens", {"ignore_eos": True, "min_tokens": 12, "max_tokens": 12}),
        (("min_tokens",), "ignore_eos", {"ignore_eos": True, "max_tokens": 12}),
        (("ignore_eos",), "max_tokens alone", {"max_tokens": 12}),
        (("ignore_eos", "max_tokens"), "max_completion_tokens alone", {"max_completion_tokens": 12}),
    ],
)
async def test_the_length_is_fixed_by_the_surest_way_that_the_server_takes(
    refuses: tuple[str, ...], fixed: str, sent: dict[str, object]
) -> None:
    with serving(Completions(refuses=refuses)) as server:
        async with client(server) as asking:
            await asking.meet(12)
            answer = await asking.ask("one two three", 12)
    assert (asking.fixed, answer.prompt_tokens, answer.completion_tokens) == (fixed, 8, 12)
    body = server.seen[-1]
    assert {name: body[name] for name in body if "tokens" in name or name == "ignore_eos"} == sent


async def test_a_length_that_is_not_obeyed_is_told() -> None:
    with serving(Completions(refuses=("ignore_eos",), stops_after=3)) as server:
        async with client(server) as asking:
            await asking.meet(12)
    assert asking.fixed == "max_tokens alone (not obeyed: 3 of 12 tokens)"


async def test_the_context_that_the_server_tells_is_known() -> None:
    with serving(Completions(max_model_len=512)) as server:
        async with client(server) as asking:
            await asking.meet(4)
    assert asking.longest == 512


@pytest.mark.parametrize("texts", [(), ("",) * 10], ids=["text", "parts of a character"])
async def test_the_time_to_the_first_token_is_within_that_of_the_answer(texts: tuple[str, ...]) -> None:
    with serving(Completions(seconds=0.05, first_texts=texts)) as server:
        async with client(server, ttft=True) as asking:
            await asking.meet(10)
            answer = await asking.ask("one", 10)
    assert answer.first_ms is not None
    assert 55 <= answer.first_ms < answer.ms  # 5 ms after the opening chunk, which is no token
    assert answer.ms - answer.first_ms >= 40  # nine more tokens of 5 ms
    assert (answer.prompt_tokens, answer.completion_tokens) == (6, 10)


async def test_a_key_is_read_from_its_file_and_sent(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("secret\n")
    with serving(Completions(key="secret")) as server:
        async with client(server, key_file=tmp_path / "key") as asking:
            await asking.meet(4)
        async with client(server) as without:
            with pytest.raises(EndpointUnusable, match=r"answers 401. Give `key_file`"):
                await without.meet(4)
        with pytest.raises(EndpointUnusable, match=r"key_file .*absent can not be read"):
            async with client(server, key_file=tmp_path / "absent"):
                pass


async def test_a_model_that_is_not_served_is_unusable_with_those_that_are() -> None:
    with serving(Completions(model="tiny")) as server:
        async with client(server, model="large") as asking:
            with pytest.raises(EndpointUnusable, match=r"does not serve 'large'; it serves tiny"):
                await asking.meet(4)


async def test_a_server_that_is_not_there_is_unusable() -> None:
    with serving(Completions()) as server:
        pass
    async with client(server) as asking:
        with pytest.raises(EndpointUnusable, match="is not reachable"):
            await asking.meet(4)
        with pytest.raises(Failed) as failed:
            await asking.ask("one", 4)
    assert failed.value.cause == "unreachable"


@pytest.mark.parametrize("ttft", [False, True])
@pytest.mark.parametrize(
    ("server", "cause"),
    [
        (Completions(fails_each=1), "status 503"),
        (Completions(seconds=30), "timeout"),
        (Completions(tells_usage=False), "no completion"),
        (Completions(stops_after=0, refuses=("ignore_eos",)), "status 400"),
        (Completions(body=b'data: {"choices": 3}\n'), "no completion"),
        (Completions(body=b"<html>"), "no completion"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_every_failure_has_a_name(server: Completions, cause: str, ttft: bool) -> None:
    with serving(server):
        async with client(server, ttft=ttft, timeout_s=1.0) as asking:
            with pytest.raises(Failed) as failed:
                await asking.ask("one", 4)
    assert failed.value.cause == cause


async def test_a_completion_of_no_token_is_a_failure_and_no_fast_answer() -> None:
    body = b'{"choices": [{"message": {"content": ""}}], "usage": {"prompt_tokens": 5, "completion_tokens": 0}}'
    with serving(Completions(body=body)) as server:
        async with client(server) as asking:
            with pytest.raises(Failed, match="empty completion: 0 completion tokens"):
                await asking.ask("one", 4)


async def test_a_server_that_refuses_every_form_is_unusable_with_what_it_says() -> None:
    with serving(Completions(refuses=("messages",))) as server:
        async with client(server) as asking:
            with pytest.raises(EndpointUnusable, match=r"gives no completion of fake: status 400: .*messages is not supported"):
                await asking.meet(4)
    assert len(server.seen) == 4
