"""The gateway's public API as the offline jobs use it. Knows paths and paging, nothing of what the jobs compute."""

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

import httpx2
import numpy as np
from numpy.typing import NDArray

EVENT_PAGE, ITEM_PAGE = 50_000, 500


class ApiRefused(Exception):
    """The gateway answered with a problem; the message is its detail."""


class Api:
    """A connection to the gateway at `url`; a context manager."""

    def __init__(self, url: str, timeout_s: float = 120) -> None:
        self.url = url
        self._http = httpx2.Client(base_url=url, timeout=timeout_s, trust_env=False)

    def _send(self, method: str, path: str, **options: Any) -> httpx2.Response:
        response = self._http.request(method, path, **options)
        if response.status_code >= 400:
            problem = response.json() if "json" in response.headers.get("content-type", "") else {}
            raise ApiRefused(f"{method} {path}: {response.status_code} {problem.get('detail', response.text[:300])}")
        return response

    def ready(self) -> None:
        """Returns when the gateway says that it can work; raises `ApiRefused` with its reason otherwise."""
        self._send("GET", "/readyz")

    def status(self) -> dict[str, Any]:
        return dict(self._send("GET", "/v1/status").json())

    def import_rows(self, path: str, rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Sends the rows as NDJSON; what became of each, in order."""
        body = b"".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n" for row in rows)
        answer = self._send("POST", path, content=body, headers={"content-type": "application/x-ndjson"})
        return [json.loads(line) for line in answer.text.splitlines() if line]

    def _pages(self, path: str, key: str, limit: int) -> Iterator[dict[str, Any]]:
        query: dict[str, Any] = {"limit": limit}
        while True:
            page = self._send("GET", path, params=query).json()
            yield from page[key]
            if not (cursor := page.get("next_cursor")):
                return
            query["cursor"] = cursor

    def items(self, page: int = ITEM_PAGE) -> Iterator[dict[str, Any]]:
        """The whole catalogue, in the order of ids; `page` items are read at a time."""
        return self._pages("/v1/items", "items", page)

    def events(self) -> Iterator[dict[str, Any]]:
        """All events, in the order they were stored."""
        return self._pages("/v1/events", "events", EVENT_PAGE)

    def put_space(self, space: str, rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
        """Replaces a space at once; its new status."""
        lines = (json.dumps(row, separators=(",", ":")).encode() + b"\n" for row in rows)
        return dict(self._send("PUT", f"/v1/spaces/{space}", content=lines, headers={"content-type": "application/x-ndjson"}).json())

    def embeddings(self) -> dict[str, NDArray[np.float32]]:
        """Item id -> its embedding `(dim,)` float32 of unit length."""
        lines = self._send("GET", "/v1/spaces/content").text.splitlines()
        rows = (json.loads(line) for line in lines)
        return {row["id"]: np.frombuffer(base64.b64decode(row["embedding"]), "<f4") for row in rows}

    def recommend(self, request: Mapping[str, Any]) -> dict[str, Any]:
        return dict(self._send("POST", "/v1/recommendations", json=request).json())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()
