"""`python -m pipelines precompute` from its options to its exit status."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.fakes.precomputer import FakePrecomputer
from tests.fakes.services import FakeRetriever

from pipelines import __main__
from pipelines.precompute import head


@pytest.fixture
async def expander() -> AsyncIterator[FakePrecomputer]:
    async with FakePrecomputer() as running:
        yield running


@pytest.fixture
async def gateway() -> AsyncIterator[FakeRetriever]:
    """A catalogue of two subjects and one frequent author, served as the gateway serves it."""
    async with FakeRetriever() as running:
        for number in range(3):
            running.add(f"s{number}", "Star", genres=["space"], authors=["Ann Leaper"])
            running.add(f"h{number}", "Night", genres=["horror"], authors=[f"Bo {number}"])
        yield running


async def run(monkeypatch: pytest.MonkeyPatch, *options: str) -> str | None:
    """Runs the command in a thread; what it says when it ends with a status other than 0."""
    monkeypatch.setattr(sys, "argv", ["pipelines", "precompute", *options])
    monkeypatch.setattr(__main__, "ended_by_signals", _nothing)
    try:
        await asyncio.to_thread(__main__.main)
    except SystemExit as ended:
        return str(ended.code)
    return None


class _nothing:  # noqa: N801
    """Signals can be taken over in the main thread only."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None


async def test_the_head_of_the_catalogue_is_expanded(
    expander: FakePrecomputer, gateway: FakeRetriever, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run(monkeypatch, "--expander", expander.url, "--gateway", gateway.url) is None
    assert expander.kept == [*head.STARTERS, "horror", "space", "Ann Leaper"]
    assert "6 made, 0 were kept already, 0 failed" in capsys.readouterr().out


async def test_a_limit_keeps_what_stands_first(
    expander: FakePrecomputer, gateway: FakeRetriever, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "interests.txt").write_text("Horror\ncats\n")
    options = ("--gateway", gateway.url, "--interests", str(tmp_path / "interests.txt"), "--limit", "6")
    assert await run(monkeypatch, "--expander", expander.url, *options) is None
    assert expander.kept == [*head.STARTERS, "Horror", "cats", "space"]


async def test_a_dry_run_prints_the_interests_and_asks_nobody(
    expander: FakePrecomputer, gateway: FakeRetriever, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run(monkeypatch, "--expander", expander.url, "--gateway", gateway.url, "--dry-run") is None
    assert "Ann Leaper" in capsys.readouterr().out.splitlines()
    assert not expander.calls


async def test_what_failed_is_named_and_makes_the_status_other_than_0(
    expander: FakePrecomputer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "interests.txt").write_text("cats\ndogs\n")
    expander.failing["dogs"] = 9
    monkeypatch.setattr("pipelines.precompute.job.FIRST_PAUSE_S", 0.01)
    ended = await run(monkeypatch, "--expander", expander.url, "--interests", str(tmp_path / "interests.txt"))
    assert ended is not None
    assert "1 of 2 interests could not be expanded" in ended
    assert "dogs: the LLM's answer is a refusal" in capsys.readouterr().out


@pytest.mark.parametrize("content", [None, "# nothing\n"])
async def test_no_interests_are_refused_with_the_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None) -> None:
    options: tuple[str, ...] = ()
    if content is not None:
        (tmp_path / "interests.txt").write_text(content)
        options = ("--interests", str(tmp_path / "interests.txt"))
    assert "HeadUnusable" in (await run(monkeypatch, "--expander", "http://127.0.0.1:9", *options) or "")
