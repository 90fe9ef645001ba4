import asyncio
import json
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.fakes.memory_backend import MemoryBackend
from tests.unit.retriever.serving import LINES, ndjson, packed, serving, unit

from retriever import api_writes

PROBLEM = "application/problem+json"


def row(name: str, angle: float = 0, **item: Any) -> dict[str, Any]:
    return {"item": {"id": name, "title": f"Title {name}", **item}, "embedding": packed(unit(angle))}


def batch(*rows: dict[str, Any], fingerprint: str = "f") -> dict[str, Any]:
    return {"fingerprint": fingerprint, "items": rows}


async def put_lines(http: httpx2.AsyncClient, body: Any, fingerprint: str = "f") -> httpx2.Response:
    return await http.put("/v1/items", params={"fingerprint": fingerprint}, content=body, headers=LINES)


async def found(http: httpx2.AsyncClient, **asked: Any) -> list[str]:
    answer = await http.post("/v1/search", json={"searches": [{"embeddings": [unit(0)]}], "k": 1_000, **asked})
    return [hit["id"] for hit in answer.json()["results"][0]["hits"]]


async def test_a_put_is_found_by_the_next_search_and_sent_again_changes_nothing(http: httpx2.AsyncClient) -> None:
    first = (await http.put("/v1/items", json=batch(row("a"), row("b", 9)))).json()
    assert first == {"created": 2, "replaced": 0, "duplicates": 0, "generation": first["generation"]}
    assert await found(http, min_generation=first["generation"]) == ["a", "b"]
    again = (await http.put("/v1/items", json=batch(row("a"), row("b", 9)))).json()
    assert again == {"created": 0, "replaced": 2, "duplicates": 0, "generation": again["generation"]}
    assert again["generation"] > first["generation"]
    assert await found(http) == ["a", "b"]


@pytest.mark.parametrize("as_lines", [True, False])
async def test_of_an_id_that_comes_twice_the_last_wins_and_it_is_said(http: httpx2.AsyncClient, as_lines: bool) -> None:
    rows = [row("a", title="old"), row("b"), row("a", title="new")]
    answer = await (put_lines(http, ndjson(*rows)) if as_lines else http.put("/v1/items", json=batch(*rows)))
    assert (answer.status_code, answer.json()["created"], answer.json()["duplicates"]) == (200, 2, 1)
    assert (await http.get("/v1/items/a")).json()["title"] == "new"


async def test_a_bad_item_of_a_json_body_refuses_all_of_it(http: httpx2.AsyncClient) -> None:
    for bad in (row("b") | {"embedding": [0.5, 0]}, row("b") | {"embedding": "A"}, row("b", attributes={"9": 1})):
        answer = await http.put("/v1/items", json=batch(row("a"), bad))
        assert (answer.status_code, answer.headers["content-type"]) == (422, PROBLEM)
        assert "b" in answer.json()["detail"]
    assert await found(http) == []


async def test_lines_are_stored_in_batches_until_a_bad_one(http: httpx2.AsyncClient, store: MemoryBackend) -> None:
    rows = [row(f"i{at:04}", at / 100) for at in range(2_500)]
    answer = await put_lines(http, ndjson(*rows[:2_200]) + b"\n{bad}\n" + ndjson(*rows[2_200:]))
    assert (answer.status_code, answer.json()["type"], answer.headers["content-type"]) == (422, "/problems/line-refused", PROBLEM)
    assert answer.json()["detail"].startswith("Line 2201: it is not JSON")
    assert "The 2200 lines before it are stored" in answer.json()["detail"]
    assert len(store) == 2_200
    answer = await put_lines(http, ndjson(*rows))
    assert (answer.json()["created"], answer.json()["replaced"]) == (300, 2_200)


async def test_what_the_store_refuses_says_how_many_lines_are_stored(http: httpx2.AsyncClient, store: MemoryBackend) -> None:
    await http.put("/v1/items", json=batch(row("a")))
    store.fail_put_at = 3  # the third put from here
    answer = await put_lines(http, ndjson(*[row(f"i{at}") for at in range(4_000)]))
    assert (answer.status_code, answer.json()["type"], answer.headers["retry-after"]) == (503, "/problems/storage-failed", "1")
    assert answer.json()["detail"].endswith("The first 2000 lines are stored.")
    assert len(store) == 2_001


async def test_lines_need_a_fingerprint_and_it_must_be_the_spaces(http: httpx2.AsyncClient) -> None:
    answer = await http.put("/v1/items", content=ndjson(row("a")), headers=LINES)
    assert (answer.status_code, answer.json()["violations"][0]["field"]) == (422, "fingerprint")
    await http.put("/v1/items", json=batch(row("a")))
    for answer in (await put_lines(http, ndjson(row("b")), "g"), await http.put("/v1/items", json=batch(row("b"), fingerprint="g"))):
        assert (answer.status_code, answer.json()["type"]) == (409, "/problems/fingerprint-mismatch")
        assert "'f'" in answer.json()["detail"]
        assert "'g'" in answer.json()["detail"]


async def test_no_lines_are_no_write(http: httpx2.AsyncClient, store: MemoryBackend) -> None:
    answer = await put_lines(http, b"\n \n")
    assert answer.json() == {"created": 0, "replaced": 0, "duplicates": 0, "generation": 0}


async def test_reading_never_runs_far_ahead_of_storing(store: MemoryBackend, tmp_path: Path) -> None:
    """With a store that does not come on, the body is not read further than a few batches."""
    go, sent = threading.Event(), 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        for at in range(20):
            sent += 1
            yield ndjson(*[row(f"i{at}-{n}") for n in range(1_000)]) + b"\n" + b"\n" * 2**20

    store.before_put = go.wait
    async with serving(store, tmp_path, max_body_bytes=2**28) as http:
        answer = asyncio.create_task(put_lines(http, body()))
        await asyncio.sleep(0.5)
        assert sent <= 4
        go.set()
        assert (await answer).json()["created"] == 20_000


async def test_deleted_items_are_never_found(http: httpx2.AsyncClient) -> None:
    await http.put("/v1/items", json=batch(row("a"), row("b", 1), row("c", 2)))
    answer = await http.delete("/v1/items/a")
    assert (answer.status_code, answer.json()["deleted"]) == (200, 1)
    assert await found(http, min_generation=answer.json()["generation"]) == ["b", "c"]
    answer = await http.post("/v1/items/delete", json={"ids": ["a", "c", "never"]})
    assert (answer.json()["deleted"], answer.json()["unknown"]) == (1, ["a", "never"])
    assert await found(http) == ["b"]
    answer = await http.delete("/v1/items/a")
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/item-unknown")


async def test_a_patch_changes_what_it_names_and_not_the_vector(http: httpx2.AsyncClient) -> None:
    await http.put("/v1/items", json=batch(row("a", 30, text="long", attributes={"year": 1, "lang": "en"}), row("b", 60)))
    answer = await http.patch("/v1/items/a", json={"title": "New", "text": None, "attributes": {"year": None, "new": ["x"]}})
    assert (answer.status_code, answer.json()["patched"]) == (200, 1)
    assert (await http.get("/v1/items/a")).json() == {"id": "a", "title": "New", "attributes": {"lang": "en", "new": ["x"]}, "text": None}
    assert await found(http, min_generation=answer.json()["generation"]) == ["a", "b"]
    assert await found(http, filter={"new": "x"}) == ["a"]
    assert await found(http, filter={"year": 1}) == []


async def test_patches_come_as_lines_too(http: httpx2.AsyncClient) -> None:
    await http.put("/v1/items", json=batch(row("a"), row("b")))
    body = ndjson({"id": "a", "attributes": {"n": 1}}, {"id": "b", "attributes": {"n": 2}})
    assert (await http.patch("/v1/items", content=body, headers=LINES)).json()["patched"] == 2
    answer = await http.patch("/v1/items", content=body + b'\n{"id": "b", "title": null}', headers=LINES)
    assert answer.json()["detail"].startswith("Line 3: title")
    answer = await http.patch("/v1/items", content=ndjson({"id": "never", "title": "x"}), headers=LINES)
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/item-unknown")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"id": "a"}', b'{"title": null}', b'{"attributes": {"9": 1}}', b"\xff"])
async def test_a_body_that_is_not_the_contracts_is_a_problem(http: httpx2.AsyncClient, body: bytes) -> None:
    await http.put("/v1/items", json=batch(row("a")))
    for method, path in (("PUT", "/v1/items"), ("PATCH", "/v1/items/a"), ("POST", "/v1/items/delete"), ("PUT", "/v1/roles/content")):
        answer = await http.request(method, path, content=body)
        assert answer.status_code in (400, 422)
        assert answer.headers["content-type"] == PROBLEM
        assert json.loads(answer.text)["detail"]


async def test_lines_wait_while_the_index_is_behind_but_not_for_ever(
    http: httpx2.AsyncClient, store: MemoryBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_writes, "PATIENCE_S", 0.3)
    looks, stored_at = list[int](), list[int]()

    def crowding() -> bool:
        looks.append(len(looks))
        return len(looks) != 3

    store.crowding, store.before_put = crowding, lambda: stored_at.append(len(looks))
    answer = await put_lines(http, ndjson(*(row(f"i{number}") for number in range(1_500))))
    assert answer.json()["created"] == 1_500
    first, second = stored_at
    assert first == 3
    assert second >= 5
