"""Every route of the retriever with whatever its description allows and forbids: no failure, and every error is a problem."""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.core.result import Err
from tests.chaos.acknowledged import Writer, lines
from tests.chaos.processes import Retriever, running

EXAMPLES = 50
"""Of each route and way; with some 20 routes about a minute."""
ALLOWED = {503, 504}
"""Server errors that are documented: a generation not reached, a deadline missed."""


@schemathesis.serializer("application/x-ndjson")
def as_lines(context: schemathesis.SerializationContext, value: Any) -> bytes:
    """The described line twice, or whatever else was drawn."""
    return lines([value, value])


@pytest.fixture(scope="module")
def retriever(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Retriever]:
    with running(tmp_path_factory.mktemp("api") / "state") as started:
        writer = Writer(9)
        for _ in range(10):
            writer.write(started.client, {"put": 3, "upload": 1, "fill": 1})
        yield started


def check(response: schemathesis.Response) -> None:
    told = f"{response.request.method} {response.request.url} -> {response.status_code} {response.text[:500]}"
    assert response.status_code < 500 or response.status_code in ALLOWED, told
    if response.status_code >= 400:
        assert response.headers["content-type"] == ["application/problem+json"], told
        assert response.json()["status"] == response.status_code, told


@pytest.mark.parametrize("way", list(schemathesis.GenerationMode), ids=lambda way: str(way.value))
def test_every_route_answers_whatever_is_sent(retriever: Retriever, way: schemathesis.GenerationMode) -> None:
    base_url = f"http://127.0.0.1:{retriever.port}"
    schema, statuses = schemathesis.openapi.from_dict(retriever.client.get("/openapi.json").json()), Counter[int]()
    with requests.Session() as session:
        session.trust_env = False
        for found in schema.get_all_operations():
            assert not isinstance(found, Err)
            operation = found.ok()

            @given(case=operation.as_strategy(generation_mode=way))
            @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
            def ask(case: schemathesis.Case[Any]) -> None:
                response = case.call(base_url=base_url, session=session, timeout=30)
                statuses[response.status_code] += 1
                check(response)

            with suppress(Unsatisfiable):  # a route without input has no wrong input
                ask()
    assert retriever.client.get("/readyz").status_code == 200
    assert sum(statuses.values()) > 5 * EXAMPLES
    if way is schemathesis.GenerationMode.POSITIVE:
        assert sum(count for status, count in statuses.items() if status < 300) > EXAMPLES, statuses
