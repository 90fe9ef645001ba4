"""What docker/compose.readers.yaml puts together, as processes: a gateway, the retriever that writes, and a read replica that answers."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import yaml
from tests.fakes.services import FakeEncoder, FakeExpander
from tests.integration.test_gateways_share_events import answers, eventually, gateway
from tests.postgresql import free_port

from servicekit.settings import environment_with

COMPOSE: dict[str, Any] = yaml.safe_load((Path(__file__).parents[2] / "docker" / "compose.readers.yaml").read_text())["services"]
NDJSON = {"content-type": "application/x-ndjson"}


@asynccontextmanager
async def retriever(name: str, port: int, state: Path, volume: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A retriever with the settings of its compose service, whose volumes are folders."""
    mounted = {"/published/": volume, "/state/": state}
    said = dict(COMPOSE[name]["environment"])
    for variable, value in said.items():
        for path, folder in mounted.items():
            said[variable] = value = value.replace(path, f"{folder}/") if value.startswith(path) else value
    environment = environment_with(RETRIEVER_PORT=str(port), RETRIEVER_STATE_DIR=str(state), OMP_NUM_THREADS="1", **said)
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "retriever", env=environment, stdout=asyncio.subprocess.DEVNULL)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


async def titles(http: httpx2.AsyncClient) -> tuple[set[str], list[str]]:
    """What is recommended to somebody unknown who likes the first item, and what of the answer was substituted."""
    answer = (await http.post("/v1/recommendations", json={"liked_items": ["1"], "deadline_ms": 5_000})).json()
    return {item["title"] for item in answer.get("items", [])}, [one["stage"] for one in answer.get("degraded", [])]


async def test_what_is_imported_at_the_writer_is_recommended_by_the_replica_also_when_the_writer_is_gone(tmp_path: Path) -> None:
    ports = {"retriever": free_port(), "retriever-reader": free_port()}
    urls = COMPOSE["gateway"]["environment"]["GATEWAY_RETRIEVER_URL"]
    for name in ("retriever-reader", "retriever"):
        urls = urls.replace(f"//{name}:8003", f"//127.0.0.1:{ports[name]}")
    async with (
        FakeEncoder() as encoder,
        FakeExpander() as expander,
        retriever("retriever", ports["retriever"], tmp_path / "writer", tmp_path) as writer,
        retriever("retriever-reader", ports["retriever-reader"], tmp_path / "reader", tmp_path / "writer"),
        gateway(
            tmp_path / "gateway",
            GATEWAY_ENCODER_URL=encoder.url,
            GATEWAY_EXPANDER_URL=expander.url,
            GATEWAY_RETRIEVER_URL=urls,
        ) as http,
        httpx2.AsyncClient(base_url=f"http://127.0.0.1:{ports['retriever-reader']}") as reader,
    ):
        await eventually(lambda: answers(reader))
        rows = b"".join(b'{"id": "%d", "title": "Book %d", "text": "number %d"}\n' % (n, n, n) for n in range(1, 6))
        stored = await http.post("/v1/items", content=rows, headers=NDJSON)
        assert stored.text.count('"stored"') == 5

        async def recommended() -> bool:
            return await titles(http) == ({"Book 2", "Book 3", "Book 4", "Book 5"}, [])

        await eventually(recommended)
        assert (await reader.delete("/v1/items/1")).status_code == 409, "a read replica takes no writes"
        writer.kill()
        await writer.wait()
        assert await recommended()
        assert (await http.get("/v1/items", params={"query": "book"})).json()["items"]
        assert (await http.delete("/v1/items/2")).status_code == 503
