"""What the expander can not take or do is told apart, and what may pass is waited for."""

import time

import pytest
from aiohttp import web
from tests.fakes.services import Behaviour, problem
from tests.fakes.writer import FakeWriter

from pipelines.enrich.expander import Author, Expander, Unwritten
from pipelines.enrich.faults import ExpanderRefused
from pipelines.enrich.fields import Enrichment, Item


def items(*titles: str) -> list[Item]:
    return [{"id": f"i{at}", "title": title, "attributes": {}} for at, title in enumerate(titles)]


def asking(writer: FakeWriter, patience_s: float = 5.0) -> Expander:
    return Expander(writer.url, deadline_s=5, patience_s=patience_s)


async def test_who_writes_is_told(writer: FakeWriter) -> None:
    async with asking(writer) as expander:
        assert await expander.author() == Author("fake", "enrich-1")


async def test_an_item_that_is_refused_fails_alone(writer: FakeWriter) -> None:
    async with asking(writer) as expander:
        outcomes = await expander.enrich(items("A", "B", "C", writer.refused_title, "E"))
    assert [isinstance(one, Enrichment) for one in outcomes] == [True, True, True, False, True]
    assert isinstance(outcomes[3], Unwritten)
    assert "'Unreadable' is not taken" in outcomes[3].reason


async def test_only_what_the_llm_could_not_do_is_asked_again(writer: FakeWriter) -> None:
    writer.unusable = {"i1"}
    writer.down = 1
    async with asking(writer) as expander:
        first, second = await expander.enrich(items("A", "B"))
        assert expander.retries == 1
    assert isinstance(first, Enrichment)
    assert isinstance(second, Unwritten)
    assert writer.asked == [["i0", "i1"], ["i0", "i1"]]


async def test_an_expander_that_restarts_is_waited_for(writer: FakeWriter) -> None:
    async with asking(writer) as expander:
        await writer.stop()
        async with asking(writer, 0.5) as impatient:
            with pytest.raises(ExpanderRefused, match=r"after \d more tries: Connect"):
                await impatient.author()
        await writer.start()
        assert len(await expander.enrich(items("A"))) == 1


async def test_an_expander_that_breaks_the_contract_is_refused(writer: FakeWriter) -> None:
    writer.behaviour = Behaviour.BREAKS_THE_CONTRACT
    async with asking(writer) as expander:
        with pytest.raises(ExpanderRefused, match="answered what is no EnrichResponse"):
            await expander.enrich(items("A"))


async def test_enrichments_of_other_items_are_refused(writer: FakeWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "_written", lambda item_id, title: {"id": "another"})
    async with asking(writer) as expander:
        with pytest.raises(ExpanderRefused, match="answered 1 enrichments of other items"):
            await expander.enrich(items("A"))


async def test_an_expander_without_an_llm_is_not_waited_for(writer: FakeWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuses(request: web.Request) -> web.Response:
        return problem(503, "llm-not-configured", "There is no LLM here. Set EXPANDER_LLM_URL.")

    await writer.stop()
    monkeypatch.setattr(writer, "enrich", refuses)
    await writer.start()
    started = time.monotonic()
    async with asking(writer, 60) as expander:
        with pytest.raises(ExpanderRefused, match=r"at the first try: 503 There is no LLM here. Set EXPANDER_LLM_URL"):
            await expander.enrich(items("A"))
    assert time.monotonic() - started < 20
