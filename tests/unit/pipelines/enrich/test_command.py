"""The job writes of every item once, loses nothing of it, and can take everything back."""

import copy
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.writer import FakeWriter, description_of, tags_of

from pipelines.enrich.faults import EnrichIncomplete, ExpanderRefused, InputUnusable, OptionsUnusable

Job = Callable[..., Awaitable[None]]
GATEWAY = ("--gateway", "http://shelf")


def written(title: str, *, embedded: bool = False, by: str = "fake enrich-1") -> dict[str, Any]:
    return {
        "enriched_tags": tags_of(title),
        "enriched_description": description_of(title),
        "enriched_by": by,
        "enriched_embedded": embedded,
    }


async def test_every_item_gets_fields_of_its_own_and_keeps_all_others(writer: FakeWriter, shelf: Any, job: Job) -> None:
    before = copy.deepcopy(shelf.rows)
    await job(*GATEWAY, "--expander", writer.url, "--batch", "3")
    assert sorted(writer.ids) == sorted(before)
    for name, item in before.items():
        assert shelf.rows[name] == {**item, "attributes": {**item["attributes"], **written(item["title"])}}


async def test_what_was_written_is_embedded_only_when_it_is_said_and_stays_as_it_was_otherwise(
    writer: FakeWriter, shelf: Any, job: Job
) -> None:
    asking = (*GATEWAY, "--expander", writer.url)
    await job(*asking, "--embed", "on")
    assert all(shelf.attributes(name)["enriched_embedded"] is True for name in shelf.rows)
    shelf.rows["b3"]["title"] = "Another"
    await job(*asking)
    assert shelf.attributes("b3") == {"authors": ["Ann Author"], "genres": ["novel"], "year": 1903, **written("Another", embedded=True)}
    await job(*asking, "--embed", "off")
    assert all(shelf.attributes(name)["enriched_embedded"] is False for name in shelf.rows)


async def test_the_switch_is_turned_without_an_llm_and_touches_only_what_was_enriched(writer: FakeWriter, shelf: Any, job: Job) -> None:
    await job(*GATEWAY, "--expander", writer.url)
    shelf.rows["new"] = {"id": "new", "title": "New", "attributes": {}}
    writer.asked.clear()
    await job(*GATEWAY, "--embed", "on")
    assert shelf.attributes("b1") == {"authors": ["Ann Author"], "genres": ["novel"], "year": 1901, **written("Book 1", embedded=True)}
    assert shelf.attributes("new") == {}
    assert writer.asked == []


async def test_removing_leaves_the_catalogue_as_it_was(writer: FakeWriter, shelf: Any, job: Job) -> None:
    before = copy.deepcopy(shelf.rows)
    await job(*GATEWAY, "--expander", writer.url, "--embed", "on")
    assert shelf.rows != before
    await job(*GATEWAY, "--remove")
    assert shelf.rows == before


async def test_a_second_run_asks_for_nothing_and_writes_nothing(writer: FakeWriter, shelf: Any, job: Job) -> None:
    await job(*GATEWAY, "--expander", writer.url)
    writer.asked.clear()
    shelf.imported.clear()
    await job(*GATEWAY, "--expander", writer.url)
    assert writer.asked == []
    assert shelf.imported == []


async def test_a_catalogue_that_was_imported_anew_is_enriched_from_the_journal(writer: FakeWriter, shelf: Any, job: Job) -> None:
    before = copy.deepcopy(shelf.rows)
    await job(*GATEWAY, "--expander", writer.url)
    after = copy.deepcopy(shelf.rows)
    writer.asked.clear()
    shelf.rows = before
    await job(*GATEWAY, "--expander", writer.url)
    assert shelf.rows == after
    assert writer.asked == []


async def test_only_what_changed_for_the_llm_is_done_again(writer: FakeWriter, shelf: Any, job: Job) -> None:
    await job(*GATEWAY, "--expander", writer.url)
    writer.asked.clear()
    shelf.rows["b1"]["text"] = "Told anew."
    shelf.attributes("b2")["genres"] = ["essay"]
    shelf.attributes("b3")["year"] = 2026
    await job(*GATEWAY, "--expander", writer.url)
    assert sorted(writer.ids) == ["b1", "b2"]
    assert shelf.attributes("b3") == {"authors": ["Ann Author"], "genres": ["novel"], "year": 2026, **written("Book 3")}


@pytest.mark.parametrize(("field", "value", "by"), [("version", "enrich-2", "fake enrich-2"), ("model", "larger", "larger enrich-1")])
async def test_another_prompt_or_model_does_every_item_again(
    writer: FakeWriter, shelf: Any, job: Job, field: str, value: str, by: str
) -> None:
    await job(*GATEWAY, "--expander", writer.url)
    writer.asked.clear()
    setattr(writer, field, value)
    await job(*GATEWAY, "--expander", writer.url)
    assert sorted(writer.ids) == sorted(shelf.rows)
    assert {shelf.attributes(name)["enriched_by"] for name in shelf.rows} == {by}


async def test_a_failure_is_listed_never_stored_and_tried_again_by_the_next_run(
    writer: FakeWriter, shelf: Any, job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    writer.unusable = {"b2", "b7"}
    with pytest.raises(EnrichIncomplete, match="2 items could not be enriched and 0 not stored; all others are"):
        await job(*GATEWAY, "--expander", writer.url)
    assert "b7: the LLM's answer holds 1 acceptable tags" in capsys.readouterr().out
    assert shelf.attributes("b2") == {"authors": ["Ann Author"], "genres": ["novel"], "year": 1902}
    assert shelf.attributes("b3") == {"authors": ["Ann Author"], "genres": ["novel"], "year": 1903, **written("Book 3")}
    writer.asked.clear()
    writer.unusable.clear()
    await job(*GATEWAY, "--expander", writer.url)
    assert sorted(writer.ids) == ["b2", "b7"]
    assert shelf.attributes("b2") == {"authors": ["Ann Author"], "genres": ["novel"], "year": 1902, **written("Book 2")}


async def test_what_changed_while_the_llm_wrote_is_not_overwritten(
    writer: FakeWriter, shelf: Any, job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    reads = iter(["the LLM is asked", "the items are stored"])

    def meanwhile() -> None:
        if next(reads) == "the items are stored":
            shelf.rows["b1"]["title"] = "Renamed"
            shelf.attributes("b2")["year"] = 2026
            del shelf.rows["b3"]

    shelf.meanwhile = meanwhile
    await job(*GATEWAY, "--expander", writer.url)
    assert shelf.rows["b1"]["title"] == "Renamed"
    assert "enriched_tags" not in shelf.attributes("b1"), "what was written is of another title"
    assert (shelf.attributes("b2")["year"], shelf.attributes("b2")["enriched_by"]) == (2026, "fake enrich-1")
    assert "b3" not in shelf.rows
    assert "1 items are new or changed since they were read; start again for these" in capsys.readouterr().out


async def test_an_item_that_the_gateway_refuses_is_told(
    writer: FakeWriter, shelf: Any, job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    shelf.refused = {"b4"}
    with pytest.raises(EnrichIncomplete, match="0 items could not be enriched and 1 not stored"):
        await job(*GATEWAY, "--expander", writer.url)
    assert "b4: it has too many attributes" in capsys.readouterr().out
    assert len(shelf.imported) == 9


async def test_an_llm_that_is_away_for_a_while_is_waited_for(writer: FakeWriter, shelf: Any, job: Job) -> None:
    writer.down = 2
    await job(*GATEWAY, "--expander", writer.url, "--in-flight", "1", "--batch", "100")
    assert len(shelf.imported) == 10
    assert writer.asked == [sorted(shelf.rows)] * 3


async def test_an_llm_that_stays_away_ends_the_run_and_costs_nothing_that_was_done(writer: FakeWriter, shelf: Any, job: Job) -> None:
    asking = (*GATEWAY, "--expander", writer.url, "--batch", "2", "--in-flight", "1", "--patience-s", "0.3")
    writer.unusable = set()
    await job(*asking)
    shelf.rows["b10"] = {"id": "b10", "title": "Book 10", "attributes": {}}
    writer.asked.clear()
    writer.down = 1_000
    with pytest.raises(ExpanderRefused, match=r"could not ask its LLM for 0\.3 s: the LLM is not reached"):
        await job(*asking)
    writer.down = 0
    writer.asked.clear()
    await job(*asking)
    assert writer.ids == ["b10"]


async def test_without_an_llm_nothing_is_begun(writer: FakeWriter, shelf: Any, job: Job) -> None:
    writer.backend = "cooccurrence"
    with pytest.raises(ExpanderRefused, match=r"has no LLM to write with .* set EXPANDER_LLM_URL"):
        await job(*GATEWAY, "--expander", writer.url)
    assert shelf.imported == []


async def test_a_file_becomes_a_file_with_the_same_items_in_the_same_order(writer: FakeWriter, job: Job, tmp_path: Path) -> None:
    items: list[dict[str, Any]] = [
        {"id": "z", "title": "Zed", "attributes": {"genres": ["x"]}, "text": "t"},
        {"id": "a", "title": "Ä b", "price": 3},
        {"id": "m", "title": "Em", "attributes": {}},
    ]
    source, out = tmp_path / "items.ndjson", tmp_path / "out" / "enriched.ndjson"
    source.write_text("\n".join(json.dumps(item) for item in items) + "\n\n")
    writer.unusable = {"m"}
    with pytest.raises(EnrichIncomplete):
        await job("--input", str(source), "--out", str(out), "--expander", writer.url, "--embed", "on")
    first, second, third = map(json.loads, out.read_text().splitlines())
    assert first == {**items[0], "attributes": {"genres": ["x"], **written("Zed", embedded=True)}}
    assert second == {**items[1], "attributes": written("Ä b", embedded=True)}
    assert third == items[2]
    await job("--input", str(out), "--out", str(tmp_path / "bare.ndjson"), "--remove")
    assert [json.loads(line) for line in (tmp_path / "bare.ndjson").read_text().splitlines()] == [
        items[0],
        {**items[1], "attributes": {}},
        items[2],
    ]


@pytest.mark.parametrize("line", ["[]", '{"id": "a"}', '{"id": 7, "title": "T"}', '{"id": "a", "title": "T", "attributes": []}', "{", "7"])
async def test_a_file_with_a_line_that_is_no_item_is_refused_by_its_number(writer: FakeWriter, job: Job, tmp_path: Path, line: str) -> None:
    source = tmp_path / "items.ndjson"
    source.write_text('{"id": "a", "title": "T"}\n' + line + "\n")
    with pytest.raises(InputUnusable, match=re.escape(str(source)) + ", line [12]: "):
        await job("--input", str(source), "--out", str(tmp_path / "out"), "--expander", writer.url)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "options",
    [
        (),
        (*GATEWAY, "--input", "x", "--out", "y", "--remove"),
        ("--input", "x", "--remove"),
        GATEWAY,
        (*GATEWAY, "--remove", "--embed", "on"),
        (*GATEWAY, "--remove", "--expander", "http://x"),
    ],
)
async def test_options_that_do_not_go_together_are_refused(job: Job, options: tuple[str, ...]) -> None:
    with pytest.raises(OptionsUnusable):
        await job(*options)
