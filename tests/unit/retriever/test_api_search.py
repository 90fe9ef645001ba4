import asyncio
import json
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fakes.memory_backend import MemoryBackend
from tests.unit.retriever.serving import packed, serving, unit

from contracts.search import SearchResponse

PROBLEM = "application/problem+json"


@pytest.fixture
async def stocked(http: httpx2.AsyncClient) -> httpx2.AsyncClient:
    """Items at 0, 10, ... 110 degrees, named like them, of three authors; every second one is in the space `taste` too, turned around."""
    rows = [
        {"item": {"id": str(at), "title": f"At {at}", "attributes": {"author": f"a{at % 3}", "year": at}}, "embedding": unit(at)}
        for at in range(0, 120, 10)
    ]
    assert (await http.put("/v1/items", json={"fingerprint": "f", "items": rows})).status_code == 200
    made = await http.post("/v1/spaces", json={"name": "taste", "fingerprint": "g", "dimension": 2})
    assert made.status_code == 200
    lines = b"\n".join(json.dumps({"id": str(at), "embedding": unit(-at)}).encode() for at in range(0, 120, 20))
    assert (await http.put("/v1/spaces/taste/vectors", params={"fingerprint": "g"}, content=lines)).json()["created"] == 6
    return http


async def ask(http: httpx2.AsyncClient, *searches: dict[str, Any], **rest: Any) -> SearchResponse:
    answer = await http.post("/v1/search", json={"searches": searches, **rest})
    assert answer.status_code == 200, answer.text
    return SearchResponse.model_validate_json(answer.text)


def ids(answer: SearchResponse, place: int = 0) -> list[str]:
    return [hit.id for hit in answer.results[place].hits]


async def test_a_matrix_is_read_from_lists_and_from_base64_alike(stocked: httpx2.AsyncClient) -> None:
    rows = [unit(3), unit(52), unit(115)]
    listed = await ask(stocked, {"embeddings": rows}, k=2)
    whole = await ask(stocked, {"embeddings": packed(*rows)}, k=2)
    each = await ask(stocked, {"embeddings": [packed(row) for row in rows]}, k=2)
    assert [ids(listed, row) for row in range(3)] == [["0", "10"], ["50", "60"], ["110", "100"]]
    assert listed.results == whole.results == each.results
    assert [(result.search, result.row) for result in listed.results] == [("0", 0), ("0", 1), ("0", 2)]
    assert listed.results[0].hits[0].score == pytest.approx(0.99863, abs=1e-5)
    assert {"prepare", "search"} <= listed.timings_ms.keys()


async def test_filter_exclusion_effort_and_exactness_reach_the_backend(stocked: httpx2.AsyncClient, store: MemoryBackend) -> None:
    asked = {"filter": {"year": {"gte": 20}, "author": {"in": ["a0", "a2"]}}, "exclude": ["30", "never"], "effort": 77, "exact": True}
    assert ids(await ask(stocked, {"embeddings": [unit(0)]}, k=3, **asked)) == ["20", "50", "60"]
    assert (store.asked[-1].effort, store.asked[-1].exact, store.asked[-1].n) == (77, True, 3)


async def test_examples_are_searched_with_and_unknown_ones_told(stocked: httpx2.AsyncClient) -> None:
    answer = await ask(stocked, {"name": "like", "positive": ["0", "20", "never"], "negative": ["110"]}, k=3)
    assert (ids(answer), answer.unknown, answer.results[0].search) == (["10", "30", "40"], ("never",), "like")


@pytest.mark.parametrize(("fuse", "expected"), [({"method": "rrf", "constant": 1}, 1 / 2 + 2 / 3), ({"method": "weighted"}, 1 + 2 * 0.5)])
async def test_several_spaces_are_fused_and_each_contribution_kept(
    stocked: httpx2.AsyncClient, fuse: dict[str, Any], expected: float
) -> None:
    searches: list[dict[str, Any]] = [
        {"name": "text", "embeddings": [unit(20)]},
        {"name": "taste", "space": "taste", "embeddings": [unit(0)], "weight": 2},
    ]
    answer = await ask(stocked, *searches, k=3, fuse=fuse, filter={"year": {"gte": 0, "lte": 40}}, explain=True)
    best = {hit.id: hit for hit in answer.results[0].hits}["20"]
    assert best.contributions
    assert best.score == pytest.approx(sum(one.added for one in best.contributions.values()))
    assert {name: one.rank for name, one in best.contributions.items()} == {"text": 1, "taste": 2}
    if fuse["method"] == "rrf":
        assert best.score == pytest.approx(expected)
    assert answer.results[0].search is None
    assert answer.plan
    assert [step["search"] for step in answer.plan] == ["text", "taste"]


async def test_hits_are_grouped_and_carry_their_items_when_asked(stocked: httpx2.AsyncClient) -> None:
    answer = await ask(stocked, {"embeddings": [unit(0)]}, k=5, group_by={"attribute": "author", "limit": 1}, with_items=True)
    assert ids(answer) == ["0", "10", "20"]
    assert [hit.item and hit.item.attributes["author"] for hit in answer.results[0].hits] == ["a0", "a1", "a2"]
    assert answer.results[0].hits[1].item
    assert (answer.results[0].hits[1].item.title, answer.results[0].hits[1].item.text) == ("At 10", None)


async def test_diversity_takes_what_lies_apart(stocked: httpx2.AsyncClient) -> None:
    near = await ask(stocked, {"embeddings": [unit(4)]}, k=3, mmr={"lambda": 1})
    apart = await ask(stocked, {"embeddings": [unit(4)]}, k=3, mmr={"lambda": 0.1, "pool": 12})
    assert ids(near) == ["0", "10", "20"]
    assert ids(apart)[:2] == ["0", "110"]


async def test_a_fingerprint_of_another_encoder_is_refused_with_both_names(stocked: httpx2.AsyncClient) -> None:
    answer = await stocked.post("/v1/search", json={"searches": [{"embeddings": [unit(0)], "space": "taste"}], "fingerprint": "f"})
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/fingerprint-mismatch")
    assert "'f'" in answer.json()["detail"]
    assert "'g'" in answer.json()["detail"]


async def test_a_missed_deadline_is_504_and_names_the_stage(stocked: httpx2.AsyncClient, store: MemoryBackend) -> None:
    store.slow = lambda: time.sleep(0.05)
    body = {"searches": [{"embeddings": [unit(0)]}]}
    in_body = await stocked.post("/v1/search", json=body | {"deadline_ms": 20})
    in_header = await stocked.post("/v1/search", json=body, headers={"x-deadline-ms": "20"})
    for answer in (in_body, in_header):
        assert (answer.status_code, answer.json()["type"]) == (504, "/problems/deadline-missed")
        assert "'search'" in answer.json()["detail"]
    assert (await stocked.post("/v1/search", json=body | {"deadline_ms": 20_000})).status_code == 200


async def test_a_generation_is_waited_for_until_the_deadline(stocked: httpx2.AsyncClient, store: MemoryBackend) -> None:
    generation = store.generation
    store.paused_at = generation - 1
    body = {"searches": [{"embeddings": [unit(0)]}], "min_generation": generation}
    answer = await stocked.post("/v1/search", json=body | {"deadline_ms": 30})
    assert (answer.status_code, answer.json()["type"], answer.headers["retry-after"]) == (503, "/problems/generation-not-reached", "1")
    waiting = asyncio.create_task(stocked.post("/v1/search", json=body | {"deadline_ms": 20_000}))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    store.paused_at = None
    assert (await waiting).json()["generation"] == generation


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"searches": []}, "searches"),
        ({"searches": [{}]}, "searches.0"),
        ({"searches": [{"embeddings": [[1, 0]], "positive": ["0"]}]}, "searches.0"),
        ({"searches": [{"embeddings": []}]}, "searches.0.embeddings"),
        ({"searches": [{"embeddings": [["x"]]}]}, "searches.0.embeddings"),
        ({"searches": [{"positive": ["0"]}], "k": 0}, "k"),
        ({"searches": [{"positive": ["0"]}], "fuse": {"method": "max"}}, "fuse"),
        ({"searches": [{"positive": ["0"]}], "mmr": {"lambda": 2}}, "mmr.lambda"),
        ({"searches": [{"positive": ["0"]}], "more": 1}, "more"),
    ],
)
async def test_a_refusal_names_the_field(stocked: httpx2.AsyncClient, body: dict[str, Any], field: str) -> None:
    answer = await stocked.post("/v1/search", json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (422, PROBLEM)
    assert any(one["field"].startswith(field) for one in answer.json()["violations"])


@pytest.mark.parametrize(
    ("search", "kind"),
    [
        ({"embeddings": "A"}, "embedding-invalid"),
        ({"embeddings": "AAAA"}, "embedding-invalid"),
        ({"embeddings": [[1, 0], [1]]}, "embedding-invalid"),
        ({"embeddings": [[1e308, 1e308]]}, "embedding-invalid"),
        ({"embeddings": [[0, 0]]}, "embedding-invalid"),
        ({"embeddings": packed([float("nan"), 1])}, "embedding-invalid"),
        ({"embeddings": [[1, 0, 0]]}, "embedding-invalid"),
        ({"positive": ["never"]}, "nothing-to-retrieve"),
        ({"positive": ["0"], "negative": ["0"]}, "embedding-invalid"),
    ],
)
async def test_what_can_not_be_searched_for_is_refused(stocked: httpx2.AsyncClient, search: dict[str, Any], kind: str) -> None:
    answer = await stocked.post("/v1/search", json={"searches": [search]})
    assert (answer.status_code, answer.json()["type"]) == (422, f"/problems/{kind}")


async def test_two_searches_of_one_name_and_an_unknown_space_are_refused(stocked: httpx2.AsyncClient) -> None:
    twice = await stocked.post("/v1/search", json={"searches": [{"name": "1", "positive": ["0"]}, {"positive": ["0"]}]})
    assert (twice.status_code, twice.json()["type"]) == (422, "/problems/search-invalid")
    never = await stocked.post("/v1/search", json={"searches": [{"positive": ["0"], "space": "never"}]})
    assert (never.status_code, never.json()["type"]) == (404, "/problems/space-unknown")


async def test_an_empty_catalogue_has_no_hits(http: httpx2.AsyncClient) -> None:
    answer = await ask(http, {"embeddings": [unit(0), unit(1)]}, {"embeddings": packed([1.0])}, mmr={})
    assert [result.hits for result in answer.results] == [(), (), ()]
    assert answer.generation == 0


async def test_searches_beyond_the_admission_are_429_and_the_others_answered(store: MemoryBackend, tmp_path: Path) -> None:
    store.slow = lambda: time.sleep(0.05)
    async with serving(store, tmp_path, search_threads=1) as http:
        await http.post("/v1/spaces", json={"name": "s", "fingerprint": "f", "dimension": 2})
        asks = [http.post("/v1/search", json={"searches": [{"embeddings": [unit(0)]}]}) for _ in range(12)]
        answers = await asyncio.gather(*asks)
        metrics = (await http.get("/metrics")).text.splitlines()
        assert (await http.post("/v1/search", json={"searches": [{"embeddings": [unit(0)]}]})).status_code == 200
    assert sorted(answer.status_code for answer in answers) == [200] * 4 + [429] * 8
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert (refused.json()["type"], refused.headers["retry-after"]) == ("/problems/overloaded", "1")
    assert "retriever_requests_overloaded_total 8.0" in metrics


async def test_searches_that_come_together_are_answered_as_each_would_be_alone(stocked: httpx2.AsyncClient, store: MemoryBackend) -> None:
    bodies: list[dict[str, Any]] = [
        {"searches": [{"embeddings": [unit(3)]}]},
        {"searches": [{"embeddings": [unit(52)], "name": "mine"}], "min_generation": 1},
        {"searches": [{"embeddings": [unit(1), unit(2)]}], "k": 3},
        {"searches": [{"embeddings": [[0, 0]]}]},
        {"searches": [{"embeddings": packed(unit(7))}]},
        {"searches": [{"embeddings": packed([1.0])}]},
        {"searches": [{"embeddings": [unit(9)]}], "filter": {"year": {"gte": 20}}},
        {"searches": [{"embeddings": [unit(9)]}], "deadline_ms": 0.001},
    ]

    async def told(body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        answer = await stocked.post("/v1/search", json=body)
        return answer.status_code, {key: value for key, value in answer.json().items() if key not in ("timings_ms", "request_id")}

    alone = [await told(body) for body in bodies]
    store.slow = lambda: time.sleep(0.02)
    assert await asyncio.gather(*map(told, bodies)) == alone
    assert [status for status, _ in alone] == [200, 200, 200, 422, 200, 422, 200, 504]


async def test_searches_that_wait_are_one_search_of_the_backend(store: MemoryBackend, tmp_path: Path) -> None:
    store.slow = lambda: time.sleep(0.2)
    async with serving(store, tmp_path, search_threads=1) as http:
        await http.post("/v1/spaces", json={"name": "s", "fingerprint": "f", "dimension": 2})
        asks = [http.post("/v1/search", json={"searches": [{"embeddings": [unit(angle)]}]}) for angle in range(4)]
        answers = await asyncio.gather(*asks)
    assert [answer.status_code for answer in answers] == [200] * 4
    assert len(store.asked) <= 2
    assert sum(len(ask.queries) for ask in store.asked) == 4


ANY = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=4) | st.sampled_from(["content", "taste", "0", "20", "rrf"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)
SEARCHES = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "name": st.text(max_size=3) | ANY,
            "space": st.sampled_from(["content", "taste", "content-1"]) | ANY,
            "embeddings": st.lists(st.lists(st.floats(width=32), min_size=2, max_size=2), max_size=2) | st.text(max_size=12) | ANY,
            "positive": st.lists(st.sampled_from(["0", "20", "never"]), max_size=3) | ANY,
            "negative": st.lists(st.sampled_from(["0", "40"]), max_size=2) | ANY,
            "weight": st.floats(0, 3) | ANY,
        },
    ),
    max_size=3,
)
BODIES = st.fixed_dictionaries(
    {"searches": SEARCHES},
    optional={
        "fuse": st.sampled_from([{"method": "rrf"}, {"method": "weighted", "depth": 3}]) | ANY,
        "k": st.integers(1, 20) | ANY,
        "filter": st.just({"year": {"gte": 20}}) | ANY,
        "exclude": st.just(["10"]) | ANY,
        "group_by": st.just({"attribute": "author", "limit": 1}) | ANY,
        "mmr": st.just({"lambda": 0.5}) | ANY,
        "effort": st.integers(1, 9) | ANY,
        "fingerprint": st.sampled_from(["f", "g"]) | ANY,
        "explain": st.booleans() | ANY,
        "with_items": st.booleans() | ANY,
    },
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(body=BODIES)
async def test_any_body_is_answered_or_refused_as_a_problem(stocked: httpx2.AsyncClient, body: dict[str, Any]) -> None:
    answer = await stocked.post("/v1/search", content=json.dumps(body))
    assert answer.status_code in (200, 400, 404, 409, 422), answer.text
    if answer.status_code == 200:
        results = SearchResponse.model_validate_json(answer.text).results
        for result in results:
            assert len(result.hits) <= body.get("k", 10)
            assert len({hit.id for hit in result.hits}) == len(result.hits)
    else:
        assert answer.headers["content-type"] == PROBLEM
