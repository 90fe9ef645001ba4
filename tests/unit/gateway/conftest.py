"""The gateway's application over fakes of the three services, with a small catalogue of books."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from tests.fakes.services import FakeEncoder, FakeExpander, FakeRetriever

from gateway.app import build
from gateway.gateway import Gateway
from gateway.settings import Settings

BOOKS = (
    ("dune", "Dune", 9, ["science-fiction", "space", "politics"]),
    ("foundation", "Foundation", 7, ["science-fiction", "space", "empire"]),
    ("hyperion", "Hyperion", 6, ["science-fiction", "space", "pilgrims"]),
    ("emma", "Emma", 8, ["romance", "classics"]),
    ("persuasion", "Persuasion", 5, ["romance", "classics", "navy"]),
    ("dracula", "Dracula", 4, ["horror", "classics", "vampires"]),
    ("carrie", "Carrie", 3, ["horror", "school"]),
    ("it", "It", 2, ["horror", "clowns"]),
)


@dataclass
class House:
    """The gateway and the fakes behind it."""

    http: httpx2.AsyncClient
    encoder: FakeEncoder
    expander: FakeExpander
    retriever: FakeRetriever
    app: FastAPI

    @property
    def gateway(self) -> Gateway:
        gateway: Gateway = self.app.state.gateway
        return gateway

    def service(self, name: str) -> Any:
        return getattr(self, name)

    async def recommend(self, **request: Any) -> dict[str, Any]:
        """The answer to a request that must succeed."""
        answer = await self.http.post("/v1/recommendations", json=request)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def like(self, user_id: str, *items: str) -> None:
        events = [{"user_id": user_id, "item_id": item, "time": f"2026-01-0{day}T00:00:00Z"} for day, item in enumerate(items, 1)]
        assert (await self.http.post("/v1/events", json={"events": events})).json()["stored"] == len(items)


def stages(answer: dict[str, Any]) -> list[str]:
    return [degradation["stage"] for degradation in answer["degraded"]]


def ids(answer: dict[str, Any]) -> list[str]:
    return [item["id"] for item in answer["items"]]


@pytest.fixture
async def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    monkeypatch.setattr("gateway.imports.BATCH_ROWS", 4)
    async with AsyncExitStack() as stack:
        encoder = await stack.enter_async_context(FakeEncoder())
        expander = await stack.enter_async_context(FakeExpander())
        retriever = await stack.enter_async_context(FakeRetriever())
        for item, title, popularity, genres in BOOKS:
            retriever.add(item, title, popularity, genres=genres)
        retriever.neighbours = {"dune": {"foundation": 0.9, "hyperion": 0.8}, "emma": {"persuasion": 0.9}}
        settings = Settings(
            encoder_url=encoder.url,
            expander_url=expander.url,
            retriever_url=retriever.url,
            state_dir=tmp_path,
            import_deadline_s=2,
        )
        app = build(settings)
        await stack.enter_async_context(app.router.lifespan_context(app))
        await app.state.gateway.pipeline.popular.renew()
        http = await stack.enter_async_context(
            httpx2.AsyncClient(transport=httpx2.ASGITransport(app, raise_app_exceptions=False), base_url="http://gateway")
        )
        yield House(http, encoder, expander, retriever, app)
