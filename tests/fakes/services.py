"""Stand-ins for encoder, expander and retriever that misbehave on command: real servers with state. Know nothing of the gateway.

Each answers its contract until `behaviour` is set to something else; `stop` and `start` take it down and bring it back on its port.
"""

import asyncio
import hashlib
import json
import math
import struct
from collections.abc import Mapping, Sequence
from enum import Enum, auto
from typing import Any, Self

from aiohttp import web

from contracts.encoder import BINARY_MEDIA_TYPE, COUNT_HEADER, DIMENSION_HEADER, FINGERPRINT_HEADER, PRIORITY_HEADER, EmbedRequest
from contracts.expander import ExpandRequest
from contracts.retriever import RetrieveRequest, SpaceRow, UpsertRequest

DIMENSION = 64
NDJSON = "application/x-ndjson"


class Behaviour(Enum):
    """What a fake does with every request of its routes."""

    ANSWERS = auto()
    STALLS = auto()
    FAILS = auto()
    BREAKS_THE_CONTRACT = auto()
    SENDS_NAN = auto()


def problem(status: int, kind: str, detail: str) -> web.Response:
    """A problem as servicekit writes it."""
    body = {"type": f"/problems/{kind}", "title": kind, "status": status, "detail": detail}
    return web.Response(status=status, body=json.dumps(body), content_type="application/problem+json")


class FakeService:
    """A server with one behaviour; a context manager. `calls` holds method and path of each request, in order."""

    routes: tuple[tuple[str, str, str], ...] = ()

    def __init__(self) -> None:
        self.behaviour = Behaviour.ANSWERS
        self.calls: list[str] = []
        self._port = 0
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def start(self) -> None:
        """Listens, on the port it had before if there was one."""
        app = web.Application(middlewares=[self._misbehave], client_max_size=2**26)
        app.add_routes([web.route(method, path, getattr(self, name)) for method, path, name in self.routes])
        app.add_routes([web.get("/readyz", self.ready)])
        self._runner = web.AppRunner(app, shutdown_timeout=0.01)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Refuses connections from now on."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @web.middleware
    async def _misbehave(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.calls.append(f"{request.method} {request.path}")
        if self.behaviour is Behaviour.STALLS:
            await asyncio.sleep(60)
        if self.behaviour is Behaviour.FAILS:
            return problem(500, "internal-error", "It broke.")
        if self.behaviour is Behaviour.BREAKS_THE_CONTRACT:
            return web.json_response({"surprise": True}, headers={COUNT_HEADER: "-1"})
        answer: web.StreamResponse = await handler(request)
        return answer

    async def ready(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "ready"})


def embedding_of(text: str) -> list[float]:
    """A unit vector made of the text's words: texts that share words are near each other."""
    sums = [1e-3] * DIMENSION
    for word in text.lower().replace(".", " ").replace(",", " ").split():
        sums[hashlib.sha256(word.encode()).digest()[0] % DIMENSION] += 1
    length = math.sqrt(sum(value * value for value in sums))
    return [value / length for value in sums]


class FakeEncoder(FakeService):
    """Embeds by words. A text that contains `refused_word` makes it refuse the whole call."""

    routes = (("POST", "/v1/embed", "embed"), ("GET", "/v1/fingerprint", "identity"))
    refused_word = "unembeddable"

    def __init__(self) -> None:
        super().__init__()
        self.fingerprint = "fake-1"
        self.texts: list[str] = []
        self.priorities: list[str] = []

    async def embed(self, request: web.Request) -> web.Response:
        self.priorities.append(request.headers.get(PRIORITY_HEADER, "online"))
        texts = EmbedRequest.model_validate_json(await request.read()).texts
        if any(self.refused_word in text for text in texts):
            return problem(422, "text-refused", f"A text contains {self.refused_word!r}; leave it out.")
        self.texts += texts
        rows = [[math.nan] * DIMENSION if self.behaviour is Behaviour.SENDS_NAN else embedding_of(text) for text in texts]
        headers = {COUNT_HEADER: str(len(rows)), DIMENSION_HEADER: str(DIMENSION), FINGERPRINT_HEADER: self.fingerprint}
        return web.Response(body=floats(rows), content_type=BINARY_MEDIA_TYPE, headers=headers)

    async def identity(self, request: web.Request) -> web.Response:
        known = {"fingerprint": self.fingerprint, "model": "words", "backend": "fake", "dimension": DIMENSION, "max_tokens": 256}
        return web.json_response(known)


def floats(rows: Sequence[Sequence[float]]) -> bytes:
    """Little-endian float32, row after row."""
    return b"".join(struct.pack(f"<{len(row)}f", *row) for row in rows)


class FakeExpander(FakeService):
    """Proposes two topics for an interest; `substituted` names the source that answers in place of the LLM.

    `asked` holds each request to expand with its headers, `erased` each user that was erased.
    """

    routes = (
        ("POST", "/v1/expand", "expand"),
        ("DELETE", "/v1/users/{user_id}/expansions", "erase"),
        ("GET", "/v1/backend", "identity"),
    )

    def __init__(self) -> None:
        super().__init__()
        self.substituted: str | None = None
        self.pending = False
        self.asked: list[tuple[ExpandRequest, Mapping[str, str]]] = []
        self.erased: list[str] = []

    async def expand(self, request: web.Request) -> web.Response:
        asked = ExpandRequest.model_validate_json(await request.read())
        self.asked.append((asked, request.headers))
        source = self.substituted or "llm"
        expansions = [
            {
                "interest": interest,
                "topics": [] if source == "none" else [f"{interest} past", f"{interest} future"],
                "source": source,
                "model": "fake-llm",
                "pending": self.pending,
                "fallback_reason": self.substituted and "the LLM timed out",
            }
            for interest in asked.interests
        ]
        return web.json_response({"expansions": expansions, "degraded": self.substituted is not None})

    async def erase(self, request: web.Request) -> web.Response:
        self.erased.append(request.match_info["user_id"])
        return web.json_response({"erased": 1})

    async def identity(self, request: web.Request) -> web.Response:
        return web.json_response({"backend": "fake", "model": "fake-llm", "fallback": None})


class FakeRetriever(FakeService):
    """A catalogue in memory with exact search. It refuses items whose title is `refused_title`, and a filter on `nonsense`."""

    routes = (
        ("PUT", "/v1/items", "upsert"),
        ("GET", "/v1/items", "list_items"),
        ("GET", "/v1/items/{id}", "get"),
        ("DELETE", "/v1/items/{id}", "delete"),
        ("POST", "/v1/retrieve", "retrieve"),
        ("PUT", "/v1/spaces/{space}", "put_space"),
        ("GET", "/v1/spaces", "spaces"),
    )
    refused_title = "Forbidden"

    def __init__(self) -> None:
        super().__init__()
        self.fingerprint = "fake-1"
        self.items: dict[str, dict[str, Any]] = {}
        self.embeddings: dict[str, tuple[float, ...]] = {}
        self.neighbours: dict[str, dict[str, float]] = {}
        self.popular: dict[str, float] = {}
        self.searches: list[RetrieveRequest] = []

    def add(self, item_id: str, title: str, popularity: float = 0.0, **attributes: Any) -> None:
        """Puts an item there as if it had been imported."""
        self.items[item_id] = {"id": item_id, "title": title, "attributes": attributes}
        self.embeddings[item_id] = tuple(embedding_of(f"{title} {' '.join(attributes.get('genres', ()))}"))
        self.popular[item_id] = popularity

    async def upsert(self, request: web.Request) -> web.Response:
        body = UpsertRequest.model_validate_json(await request.read())
        if body.fingerprint != self.fingerprint:
            return problem(409, "fingerprint-mismatch", f"{body.fingerprint} is not {self.fingerprint}.")
        if any(stored.item.title == self.refused_title for stored in body.items):
            return problem(422, "title-refused", f"The title {self.refused_title!r} is not taken; choose another.")
        created = sum(stored.item.id not in self.items for stored in body.items)
        for stored in body.items:
            self.items[stored.item.id] = stored.item.model_dump(mode="json", exclude_none=True)
            self.embeddings[stored.item.id] = stored.embedding
        return web.json_response({"created": created, "replaced": len(body.items) - created, "duplicates": 0, "generation": 1})

    async def list_items(self, request: web.Request) -> web.Response:
        words = request.query.get("query", "").lower()
        page = [item for item in self.items.values() if words in item["title"].lower()][: int(request.query.get("limit", 100))]
        return web.json_response({"items": page, "total": len(self.items), "next_cursor": None})

    async def get(self, request: web.Request) -> web.Response:
        item = self.items.get(request.match_info["id"])
        return web.json_response(item) if item else problem(404, "item-unknown", "No such item.")

    async def delete(self, request: web.Request) -> web.Response:
        known = self.items.pop(request.match_info["id"], None)
        return web.json_response({"deleted": 1, "generation": 2}) if known else problem(404, "item-unknown", "No such item.")

    async def put_space(self, request: web.Request) -> web.Response:
        rows = [SpaceRow.model_validate_json(line) for line in (await request.read()).splitlines()]
        if any(row.score is None for row in rows):
            return problem(422, "space-row-refused", "Row 1: it has no score.")
        self.popular = {row.id: row.score or 0.0 for row in rows}
        return web.json_response({"name": request.match_info["space"], "kind": "scores", "rows": len(rows)})

    async def spaces(self, request: web.Request) -> web.Response:
        return web.json_response([{"name": "popular", "kind": "scores", "rows": len(self.popular)}])

    async def retrieve(self, request: web.Request) -> web.Response:
        body = RetrieveRequest.model_validate_json(await request.read())
        self.searches.append(body)
        if body.fingerprint not in (None, self.fingerprint):
            return problem(409, "fingerprint-mismatch", f"{body.fingerprint} is not {self.fingerprint}.")
        if "nonsense" in body.filter:
            return problem(422, "filter-refused", "filter.nonsense: there is no such attribute; leave it out.")
        liked = [item for item in body.liked if item in self.items]
        weights: dict[str, float] = {str(name): weight for name, weight in body.weights.items()}
        raw = {name: found for name, found in self._scores(body, liked).items() if found and weights.get(name, 0) > 0}
        if not raw:
            return problem(422, "nothing-to-retrieve", "No source can answer.")
        hidden = {*body.exclude, *liked}
        pool = [item for item in self.items.values() if item["id"] not in hidden and self._passes(item, body.filter)]
        candidates = [self._candidate(item, raw, weights) for item in pool]
        candidates.sort(key=lambda one: -one["score"])
        if self.behaviour is Behaviour.SENDS_NAN and candidates:
            candidates[0]["score"] = math.nan
        unknown = [item for item in body.liked if item not in self.items]
        answer = {"candidates": candidates[: body.k], "unknown_liked": unknown, "fingerprint": self.fingerprint, "searched": len(pool)}
        return web.json_response({**answer, "timings_ms": {}})

    def _scores(self, body: RetrieveRequest, liked: Sequence[str]) -> dict[str, dict[str, tuple[float, str | None]]]:
        """Per source and item: the raw score and who found it."""

        def near(labelled: Sequence[tuple[str, Sequence[float], float]]) -> dict[str, tuple[float, str | None]]:
            found: dict[str, tuple[float, str | None]] = {}
            for item, own in self.embeddings.items():
                said = [(weight * sum(a * b for a, b in zip(own, vector, strict=True)), label) for label, vector, weight in labelled]
                found[item] = (sum((score for score, _ in said), 0.0), max(said)[1])
            return found

        together: dict[str, tuple[float, str | None]] = {}
        for item in liked:
            for other, weight in self.neighbours.get(item, {}).items():
                together[other] = (together.get(other, (0.0, None))[0] + weight, item)
        return {
            "content": near([(one.label, one.embedding, one.weight) for one in body.queries]) if body.queries else {},
            "similar": near([(item, self.embeddings[item], 1.0) for item in liked]) if liked else {},
            "collaborative": together,
            "popular": {item: (score, None) for item, score in self.popular.items()},
        }

    @staticmethod
    def _passes(item: dict[str, Any], conditions: Any) -> bool:
        def holds(name: str, condition: Any) -> bool:
            value = item["attributes"].get(name)
            held = value if isinstance(value, list) else [value]
            return bool(set(condition["any"] if isinstance(condition, dict) else [condition]) & set(held))

        return all(holds(name, condition) for name, condition in conditions.items())

    @staticmethod
    def _candidate(item: dict[str, Any], raw: dict[str, Any], weights: dict[str, float]) -> dict[str, Any]:
        sources = {}
        for name, found in raw.items():
            values = [score for score, _ in found.values()]
            mean = sum(values) / len(values)
            spread = math.sqrt(sum((value - mean) ** 2 for value in values) / len(values)) or 1.0
            score, found_by = found.get(item["id"], (0.0, None))
            sources[name] = {"score": score, "standard_score": (score - mean) / spread, "rank": None, "found_by": found_by}
        fused = sum(weights[name] * said["standard_score"] for name, said in sources.items())
        return {**item, "score": fused, "sources": sources}
