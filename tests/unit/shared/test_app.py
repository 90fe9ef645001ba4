"""What every service does around its handlers: health, admission, limits, problems, drain."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest
from fastapi import FastAPI, Request, Response
from starlette.datastructures import State
from starlette.types import Message

from contracts.encoder import EmbedRequest
from servicekit import app as kit
from servicekit.metrics import HttpMetrics
from servicekit.middleware import ANSWERS_PER_CLOSE
from servicekit.settings import ServiceSettings


class ItemUnknown(Exception):
    """A domain error of this test's service."""


class Gate:
    """Holds handlers until it is opened, and counts those that started."""

    def __init__(self) -> None:
        self.opened, self.started = asyncio.Event(), 0


async def embed(body: EmbedRequest, request: Request) -> dict[str, int]:
    """Answers with the number of texts."""
    gate: Gate = request.app.state.gate
    gate.started += 1
    if body.texts[0] == "wait":
        await gate.opened.wait()
    if body.texts[0] == "unknown":
        raise ItemUnknown("There is no item 'x'; list the items at /v1/items.")
    if body.texts[0] == "crash":
        raise RuntimeError("a secret detail")
    return {"texts": len(body.texts)}


async def count(request: Request) -> dict[str, int]:
    """Answers with the number of bytes."""
    return {"bytes": sum([len(chunk) async for chunk in request.stream()])}


async def measure(request: Request) -> Response:
    """Answers with the length of the body."""
    if not (body := await request.body()):
        raise ItemUnknown("There is nothing to measure; send a body.")
    if body == b"crash":
        raise RuntimeError("a secret detail")
    return Response(str(len(body)), media_type="text/plain")


def too_busy(state: State, coming: int) -> str | None:
    """A gate that is closed while the state says why."""
    return getattr(state, "too_busy", None)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.gate = Gate()
    yield


async def ready() -> None:
    """Always ready."""


@pytest.fixture
async def service() -> AsyncIterator[FastAPI]:
    settings = ServiceSettings(port=0, max_in_flight=2, max_json_bytes=2_000, max_body_bytes=4_000)
    routes = [
        kit.Route("POST", "/v1/embed", embed),
        kit.Route("POST", "/v1/count", count),
        kit.Route("POST", "/v1/measure", measure, plain=True, gate=too_busy),
    ]
    app = kit.build(
        "encoder", settings, routes=routes, statuses={ItemUnknown: 404}, ready=ready, lifespan=lifespan, metrics=HttpMetrics("encoder")
    )
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
async def client(service: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=service, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://service") as client:
        yield client


async def test_a_request_id_is_echoed_or_made(client: httpx2.AsyncClient) -> None:
    given = await client.post("/v1/embed", json={"texts": ["a"]}, headers={"x-request-id": "abc-1"})
    assert given.headers["x-request-id"] == "abc-1"
    forged = await client.post("/v1/embed", json={"texts": ["a"]}, headers={"x-request-id": "a b\tc"})
    assert len(forged.headers["x-request-id"]) == 24


async def test_one_request_too_many_is_refused_before_it_starts(service: FastAPI, client: httpx2.AsyncClient) -> None:
    waiting = [asyncio.create_task(client.post("/v1/embed", json={"texts": ["wait"]})) for _ in range(2)]
    while service.state.gate.started < 2:
        await asyncio.sleep(0)
    refused = await client.post("/v1/embed", json={"texts": ["a"]})
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    assert refused.json()["type"] == "/problems/overloaded"
    assert service.state.gate.started == 2
    assert (await client.get("/livez")).status_code == 200
    service.state.gate.opened.set()
    assert [answer.status_code for answer in await asyncio.gather(*waiting)] == [200, 200]
    assert (await client.post("/v1/embed", json={"texts": ["a"]})).status_code == 200


async def chunks() -> AsyncIterator[bytes]:
    for _ in range(5):
        yield b"x" * 1_000


async def test_a_body_over_the_limit_is_refused_declared_or_not(client: httpx2.AsyncClient) -> None:
    for content in (b"x" * 5_000, chunks()):
        answer = await client.post("/v1/embed", content=content)
        assert answer.status_code == 413
        assert "2000 bytes" in answer.json()["detail"]


async def test_a_domain_error_gets_its_status_and_its_own_words(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/v1/embed", json={"texts": ["unknown"]})
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "/problems/item-unknown"
    assert "list the items" in answer.json()["detail"]


async def test_a_crash_tells_the_caller_nothing_of_its_inside(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/v1/embed", json={"texts": ["crash"]})
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text


async def test_invalid_input_names_the_field_and_the_value(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/v1/embed", json={"texts": [7], "extra": True})
    assert answer.status_code == 422
    fields = {violation["field"]: violation for violation in answer.json()["violations"]}
    assert fields["texts.0"]["value"] == "7"
    assert "remove it" in fields["extra"]["reason"]


async def test_readiness_turns_away_while_draining_and_liveness_does_not(service: FastAPI, client: httpx2.AsyncClient) -> None:
    assert (await client.get("/readyz")).status_code == 200
    service.state.health.draining = True
    assert (await client.get("/readyz")).status_code == 503
    assert (await client.get("/livez")).status_code == 200


async def test_every_answer_closes_its_connection_while_draining_and_a_few_do_at_all_times(
    service: FastAPI, client: httpx2.AsyncClient
) -> None:
    calm = [(await client.get("/livez")).headers.get("connection") for _ in range(2 * ANSWERS_PER_CLOSE)]
    assert calm.count("close") == 2
    service.state.health.draining = True
    assert [(await client.get("/livez")).headers.get("connection") for _ in range(3)] == ["close"] * 3


async def test_requests_are_counted_by_route_not_by_path(client: httpx2.AsyncClient) -> None:
    await client.post("/v1/embed", json={"texts": ["a"]})
    await client.get("/somewhere/else")
    exposed = (await client.get("/metrics")).text
    assert 'encoder_requests_total{method="POST",route="/v1/embed",status="200"} 1.0' in exposed
    assert 'route="unmatched",status="404"' in exposed
    assert "/somewhere/else" not in exposed


async def test_a_caller_that_leaves_is_not_counted_as_a_failure_and_a_crash_is(service: FastAPI, client: httpx2.AsyncClient) -> None:
    async def leaves() -> Message:
        return {"type": "http.disconnect"}

    async def nobody_hears(message: Message) -> None:
        raise AssertionError(f"sent {message}")

    scope = {"type": "http", "http_version": "1.1", "method": "POST", "path": "/v1/count", "query_string": b"", "headers": []}
    await service(scope, leaves, nobody_hears)
    await client.post("/v1/embed", json={"texts": ["crash"]})
    exposed = (await client.get("/metrics")).text
    assert 'encoder_requests_total{method="POST",route="/v1/count",status="499"} 1.0' in exposed
    assert 'encoder_requests_total{method="POST",route="/v1/embed",status="500"} 1.0' in exposed


async def test_the_docs_page_asks_no_other_host(client: httpx2.AsyncClient) -> None:
    page = await client.get("/docs")
    assert page.status_code == 200
    assert "http://" not in page.text
    assert "https://" not in page.text
    assert (await client.get("/docs-assets/swagger-ui-bundle.js")).status_code == 200


async def test_a_body_of_lines_may_be_longer_than_one_of_json(client: httpx2.AsyncClient) -> None:
    kind = {"content-type": "application/x-ndjson"}
    assert (await client.post("/v1/embed", content=b" " * 3_000, headers=kind)).status_code != 413
    assert (await client.post("/v1/embed", content=b" " * 5_000, headers=kind)).status_code == 413


async def test_of_many_faults_only_the_first_are_told(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/v1/embed", json={"texts": ["a"], **{f"x{number}": 1 for number in range(100)}})
    assert answer.status_code == 422
    assert len(answer.json()["violations"]) == 20
    assert answer.json()["detail"].endswith("and 80 more")


async def test_what_utf8_can_not_carry_is_refused_like_any_bad_value(client: httpx2.AsyncClient) -> None:
    for body in (b'{"texts": ["a"], "\\ud800": 1}', b'{"texts": 7, "x": "\\ud800"}'):
        answer = await client.post("/v1/embed", content=body)
        assert answer.status_code == 422
        assert answer.headers["content-type"] == "application/problem+json"


async def test_a_plain_route_is_documented_and_answers_and_fails_like_any_other(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/v1/measure", content=b"four")
    assert (answer.text, "total;dur=" in answer.headers["server-timing"]) == ("4", True)
    refused = await client.post("/v1/measure")
    assert (refused.status_code, refused.json()["type"]) == (404, "/problems/item-unknown")
    described = (await client.get("/openapi.json")).json()["paths"]["/v1/measure"]["post"]
    assert (described["description"], described["operationId"]) == ("Answers with the length of the body.", "measure")
    assert 'encoder_requests_total{method="POST",route="/v1/measure",status="200"} 1.0' in (await client.get("/metrics")).text.splitlines()


async def test_a_plain_route_has_the_limits_of_all_routes_and_hides_its_inside(service: FastAPI, client: httpx2.AsyncClient) -> None:
    for content in (b"x" * 5_000, chunks()):
        assert (await client.post("/v1/measure", content=content)).status_code == 413
    crashed = await client.post("/v1/measure", content=b"crash", headers={"x-request-id": "abc-2"})
    assert (crashed.status_code, crashed.json()["request_id"], "secret" in crashed.text) == (500, "abc-2", False)
    assert (await client.get("/v1/measure")).status_code == 405
    waiting = [asyncio.create_task(client.post("/v1/embed", json={"texts": ["wait"]})) for _ in range(2)]
    while service.state.gate.started < 2:
        await asyncio.sleep(0)
    assert (await client.post("/v1/measure", content=b"four")).status_code == 429
    assert "encoder_requests_in_flight 2.0" in (await client.get("/metrics")).text.splitlines()
    service.state.gate.opened.set()
    await asyncio.gather(*waiting)
    exposed = (await client.get("/metrics")).text.splitlines()
    assert 'encoder_requests_total{method="POST",route="/v1/measure",status="500"} 1.0' in exposed
    assert "encoder_requests_in_flight 0.0" in exposed


async def test_a_closed_gate_refuses_as_any_admission_does_and_for_its_route_alone(service: FastAPI, client: httpx2.AsyncClient) -> None:
    service.state.too_busy = 'the "measure" is full; try again in a second.'
    refused = await client.post("/v1/measure", content=b"four", headers={"x-request-id": "abc-3"})
    assert (refused.status_code, refused.headers["retry-after"], refused.headers["x-request-id"]) == (429, "1", "abc-3")
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json() == {
        "type": "/problems/overloaded",
        "title": "Too Many Requests",
        "status": 429,
        "detail": service.state.too_busy,
        "instance": "/v1/measure",
        "request_id": "abc-3",
        "violations": [],
    }
    other = await client.post("/v1/measure", content=b"four")
    assert other.json()["request_id"] == other.headers["x-request-id"] != "abc-3"
    assert (await client.post("/v1/embed", json={"texts": ["a"]})).status_code == 200
    exposed = (await client.get("/metrics")).text.splitlines()
    assert 'encoder_requests_total{method="POST",route="/v1/measure",status="429"} 2.0' in exposed
    assert 'encoder_request_duration_seconds_count{route="/v1/measure"} 2.0' in exposed
    assert "encoder_requests_overloaded_total 2.0" in exposed
    service.state.too_busy = None
    assert (await client.post("/v1/measure", content=b"four")).text == "4"


async def test_refusals_too_close_a_connection_now_and_then(service: FastAPI, client: httpx2.AsyncClient) -> None:
    service.state.too_busy = "full"
    refusals = [(await client.post("/v1/measure")).headers.get("connection") for _ in range(ANSWERS_PER_CLOSE)]
    assert refusals.count("close") == 1
