"""An expander that writes of items as told: a real server with state. Knows nothing of the job that asks it."""

import asyncio

from aiohttp import web
from tests.fakes.services import FakeService, problem

from contracts.expander import EnrichRequest


class FakeWriter(FakeService):
    """Writes of an item what follows from its title, so that a test knows what should be there.

    `asked` holds the ids of each request; of those in `unusable` nothing acceptable is written; the next `down` requests find the LLM away;
    items whose title is `refused_title` can not be read.
    """

    routes = (("POST", "/v1/enrich", "enrich"), ("GET", "/v1/backend", "identity"))
    refused_title = "Unreadable"

    def __init__(self) -> None:
        super().__init__()
        self.model, self.version, self.backend = "fake", "enrich-1", "llm"
        self.asked: list[list[str]] = []
        self.sent: list[EnrichRequest] = []
        self.unusable: set[str] = set()
        self.down, self.delay_s = 0, 0.0
        self.now, self.most = 0, 0

    @property
    def ids(self) -> list[str]:
        """Every item that was asked for, in order."""
        return [name for names in self.asked for name in names]

    async def enrich(self, request: web.Request) -> web.Response:
        asked = EnrichRequest.model_validate_json(await request.read())
        if any(item.title == self.refused_title for item in asked.items):
            return problem(422, "request-invalid", f"The title {self.refused_title!r} is not taken.")
        self.sent.append(asked)
        self.asked.append([item.id for item in asked.items])
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(self.delay_s)
        self.now -= 1
        self.down -= 1
        if self.down >= 0:
            rows = [{"id": item.id, "reason": "the LLM is not reached", "retry": True} for item in asked.items]
            return web.json_response({"enrichments": rows})
        return web.json_response({"enrichments": [self._written(item.id, item.title) for item in asked.items]})

    def _written(self, item_id: str, title: str) -> dict[str, object]:
        if item_id in self.unusable:
            return {"id": item_id, "reason": "the LLM's answer holds 1 acceptable tags"}
        made = {"tags": tags_of(title), "description": description_of(title)}
        return {"id": item_id, "model": self.model, "prompt_version": self.version, **made}

    async def identity(self, request: web.Request) -> web.Response:
        told = {"backend": self.backend, "model": self.model, "fallback": None, "enrichment_version": self.version}
        return web.json_response(told)


def tags_of(title: str) -> list[str]:
    return [f"{title.lower()} matters", "small towns", "long journeys"]


def description_of(title: str) -> str:
    return f"A plain account of what {title} is about."
