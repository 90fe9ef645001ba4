"""The job over real processes: gateway, retriever and expander; only encoder and LLM are stand-ins whose doing a test can foresee."""

import asyncio
import base64
import json
import struct
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.fakes.llm import fails, fake_llm
from tests.fakes.services import DIMENSION, FakeEncoder, embedding_of
from tests.integration.test_gateways_share_events import answers, eventually, gateway
from tests.postgresql import free_port
from tests.unit.expander.test_enriching import TAGS, describes

from gateway.passages import passage
from servicekit.settings import environment_with

BOOKS: list[dict[str, Any]] = [
    {
        "id": f"b{at}",
        "title": f"Book {at}",
        "text": f"Chapter {at}.",
        "attributes": {"genres": ["novel"], "authors": ["Ann"], "year": 1900 + at, "sold": at % 2 == 0, "price": at / 4},
    }
    for at in range(1, 6)
]
NDJSON = {"content-type": "application/x-ndjson"}


@asynccontextmanager
async def service(name: str, folder: Path, **settings: str) -> AsyncIterator[str]:
    port = free_port()
    own = {f"{name.upper()}_PORT": str(port), f"{name.upper()}_STATE_DIR": str(folder / name), "OMP_NUM_THREADS": "1"}
    environment = environment_with(**own, **{f"{name.upper()}_{key}": value for key, value in settings.items()})
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", name, env=environment, stdout=asyncio.subprocess.DEVNULL)
    try:
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
            await eventually(lambda: answers(http))
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


async def enrich(folder: Path, *options: str) -> tuple[int | None, str]:
    """Exit status and output of the job."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pipelines", "enrich", *options, "--journal", str(folder / "journal.sqlite3")),
        env=environment_with(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told, _ = await process.communicate()
    return process.returncode, told.decode()


async def catalogue(http: httpx2.AsyncClient) -> dict[str, dict[str, Any]]:
    """Every item as it is read back one by one, which is as the export has it."""
    listed = {item["id"]: item for item in (await http.get("/v1/items")).json()["items"]}
    single = {name: (await http.get(f"/v1/items/{name}")).json() for name in listed}
    assert single == listed
    return single


async def embedded_as_passages(http: httpx2.AsyncClient) -> None:
    """Every embedding in the content space is that of the item's passage as it is now."""
    rows = [json.loads(line) for line in (await http.get("/v1/spaces/content")).text.splitlines()]
    found = {row["id"]: struct.unpack(f"<{DIMENSION}f", base64.b64decode(row["embedding"])) for row in rows}
    for name, item in (await catalogue(http)).items():
        wanted = embedding_of(passage(item["title"], item["attributes"], item.get("text")))
        assert found[name] == pytest.approx(wanted, abs=1e-6)


async def neighbours(http: httpx2.AsyncClient) -> list[str]:
    """The sources that recommend the neighbour of a liked item."""
    answer = (await http.post("/v1/recommendations", json={"liked_items": ["b1"], "deadline_ms": 5_000})).json()
    return sorted(reason["source"] for item in answer["items"] if item["id"] == "b2" for reason in item["reasons"])


async def test_a_catalogue_is_enriched_switched_and_made_as_it_was(tmp_path: Path) -> None:
    async with (
        fake_llm() as llm,
        FakeEncoder() as encoder,
        service("retriever", tmp_path) as retriever,
        service("expander", tmp_path, LLM_URL=llm.url, LLM_MODEL="fake", TOPICS_PATH=str(tmp_path / "topics.json")) as expander,
        gateway(
            tmp_path / "gateway", GATEWAY_ENCODER_URL=encoder.url, GATEWAY_EXPANDER_URL=expander, GATEWAY_RETRIEVER_URL=retriever
        ) as http,
    ):
        llm.plays(describes)
        rows = "".join(json.dumps(book) + "\n" for book in BOOKS)
        assert (await http.post("/v1/items", content=rows, headers=NDJSON)).text.count('"stored"') == len(BOOKS)
        together = '{"id": "b1", "neighbours": [["b2", 0.9]]}\n'
        assert (await http.put("/v1/spaces/collaborative", content=together, headers=NDJSON)).status_code == 200
        before, reasons = await catalogue(http), await neighbours(http)
        assert "collaborative" in reasons
        assert before == {book["id"]: book for book in BOOKS}

        status, told = await enrich(tmp_path, "--gateway", str(http.base_url), "--expander", expander)
        assert status == 0, told
        after = await catalogue(http)
        for name, item in before.items():
            description = f"A plain account of what happens in {item['title']}."
            made = {"enriched_tags": TAGS, "enriched_description": description, "enriched_by": "fake enrich-1"}
            assert after[name] == {**item, "attributes": {**item["attributes"], **made, "enriched_embedded": False}}
        assert passage("T", after["b1"]["attributes"], None) == "novel: T by Ann"
        await embedded_as_passages(http)
        asked = len(llm.requests)

        status, told = await enrich(tmp_path, "--gateway", str(http.base_url), "--embed", "on")
        assert status == 0, told
        assert "small towns" in passage("T", (await catalogue(http))["b1"]["attributes"], None)
        await embedded_as_passages(http)

        status, told = await enrich(tmp_path, "--gateway", str(http.base_url), "--remove")
        assert status == 0, told
        assert await catalogue(http) == before
        await embedded_as_passages(http)
        assert await neighbours(http) == reasons, "other spaces keep what they hold of an item that is replaced"
        assert len(llm.requests) == asked


async def test_an_llm_that_is_down_leaves_the_catalogue_alone_and_the_status_tells(tmp_path: Path) -> None:
    async with (
        fake_llm() as llm,
        service("expander", tmp_path, LLM_URL=llm.url, LLM_MODEL="fake", TOPICS_PATH=str(tmp_path / "topics.json")) as expander,
    ):
        llm.plays(fails(503))
        source, out = tmp_path / "items.ndjson", tmp_path / "out.ndjson"
        source.write_text("".join(json.dumps(book) + "\n" for book in BOOKS))
        files = ("--input", str(source), "--out", str(out), "--expander", expander)
        status, told = await enrich(tmp_path, *files, "--patience-s", "1")
        assert status == 1
        assert "ExpanderRefused" in told
        assert "Start again to go on" in told
        assert not out.exists()
