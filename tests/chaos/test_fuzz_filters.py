"""Filters that nobody would write: each is answered or refused with the place that is wrong, never with a failure."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retriever.app import build
from retriever.settings import Settings

fuzzed = settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck), database=None)
NAMES = st.sampled_from(["a", "b", "id", "and", "or", "not", "year", "", "x" * 65, "é", "a/b", "~0", "in"]) | st.text(max_size=8)
NUMBERS = st.integers() | st.floats() | st.sampled_from([10**400, -(10**400), 2**63, 1e308, -0.0])
SCALARS = NUMBERS | st.booleans() | st.text(max_size=8) | st.none() | st.sampled_from(["fantasy", "i1", "\ud800", "\0", "a\nb"])
OPERATORS = st.sampled_from(["eq", "in", "any", "none", "gt", "gte", "lt", "lte", "contains", "exists", "like", ""])
OPERANDS = SCALARS | st.lists(SCALARS, max_size=4) | st.dictionaries(st.text(max_size=3), SCALARS, max_size=2)
CONDITIONS = SCALARS | st.dictionaries(OPERATORS, OPERANDS, max_size=3) | st.lists(SCALARS, max_size=3)
FILTERS = st.recursive(
    st.dictionaries(NAMES, CONDITIONS, max_size=4),
    lambda part: st.fixed_dictionaries(
        {}, optional={"and": st.lists(part, max_size=3), "or": st.lists(part, max_size=3), "not": part, "a": CONDITIONS}
    ),
    max_leaves=12,
)
ANYTHING = st.recursive(
    SCALARS, lambda part: st.lists(part, max_size=3) | st.dictionaries(st.text(max_size=5), part, max_size=3), max_leaves=10
)


class Served:
    """The application with some items, asked from code that is not asynchronous."""

    def __init__(self, state: Path) -> None:
        self.app: FastAPI = build(Settings(state_dir=state))
        self.loop = asyncio.new_event_loop()
        self._context = self.app.router.lifespan_context(self.app)
        self.loop.run_until_complete(self._context.__aenter__())
        self._client = httpx2.AsyncClient(transport=httpx2.ASGITransport(self.app), base_url="http://test")

    def send(self, method: str, path: str, content: bytes) -> httpx2.Response:
        headers = {"content-type": "application/json"}
        return self.loop.run_until_complete(self._client.request(method, path, content=content, headers=headers))

    def close(self) -> None:
        self.loop.run_until_complete(self._client.aclose())
        self.loop.run_until_complete(self._context.__aexit__(None, None, None))
        self.loop.close()


def as_json(value: Any) -> bytes:
    """With whatever Python can write, NaN and lone surrogates too."""
    return json.dumps(value).encode()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    running = Served(tmp_path_factory.mktemp("fuzz"))
    units = np.eye(8, dtype=np.float32)
    items = [
        {"item": {"id": f"i{at}", "title": "t", "attributes": {"a": ["x", "1"], "b": at, "year": 1e3}}, "embedding": unit.tolist()}
        for at, unit in enumerate(units)
    ]
    assert running.send("PUT", "/v1/items", as_json({"fingerprint": "f", "items": items})).status_code == 200
    yield running
    running.close()


def check(answer: httpx2.Response) -> None:
    assert answer.status_code in (200, 400, 422), answer.text
    if answer.status_code != 200:
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        assert problem["status"] == answer.status_code
        assert problem["violations"] or answer.status_code == 400, problem


@given(said=FILTERS | ANYTHING)
@fuzzed
def test_no_filter_fails_a_search(served: Served, said: Any) -> None:
    check(served.send("POST", "/v1/search", as_json({"searches": [{"positive": ["i1"]}], "k": 3, "filter": said})))


@given(said=FILTERS | ANYTHING)
@fuzzed
def test_no_filter_fails_a_retrieval(served: Served, said: Any) -> None:
    check(served.send("POST", "/v1/retrieve", as_json({"liked": ["i1"], "weights": {"similar": 1}, "k": 3, "filter": said})))


def test_the_strategies_reach_answers_and_refusals(served: Served) -> None:
    """Or the tests above would prove nothing."""
    seen = {200: 0, 422: 0}

    @given(said=FILTERS)
    @settings(fuzzed, max_examples=200, derandomize=True)
    def ask(said: Any) -> None:
        status = served.send("POST", "/v1/search", as_json({"searches": [{"positive": ["i1"]}], "k": 3, "filter": said})).status_code
        seen[status] = seen.get(status, 0) + 1

    ask()
    assert min(seen[200], seen[422]) > 10, seen
