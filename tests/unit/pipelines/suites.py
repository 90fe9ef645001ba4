"""A suite in memory, behind the API that the jobs use: it keeps what is imported, and can be late, silent or degraded."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.api import Api, ApiRefused


class SmallSuite(Api):
    """`late` is how many questions for readiness are refused first, `refusing` the row of the next import that fails."""

    def __init__(self, *, late: int = 0, silent: str = "", degraded: str = "", refusing: int | None = None) -> None:
        self.url = "http://suite"
        self.late, self.silent, self.degraded, self.refusing = late, silent, degraded, refusing
        self.stored: dict[str, list[dict[str, Any]]] = {"/v1/items": [], "/v1/events": []}
        self.spaces: dict[str, int] = {}

    def ready(self) -> None:
        self.late -= 1
        if self.late >= 0:
            raise ApiRefused("GET /readyz: 503 no popular list yet")

    def status(self) -> dict[str, Any]:
        held: dict[str, Any] = {"items": len(self.stored["/v1/items"]), "encoder": "onnx", "expander": "catalogue"}
        return held | ({self.silent: None} if self.silent else {})

    def import_rows(self, path: str, rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        answers: list[dict[str, Any]] = []
        for number, row in enumerate(rows, 1):
            if number == self.refusing:
                answers.append({"row": number, "status": "refused", "reason": "the encoder does not answer"})
            else:
                self.stored[path] = [*(other for other in self.stored[path] if other != row), dict(row)]
                answers.append({"row": number, "status": "stored"})
        return answers

    def items(self, page: int = 500) -> Iterator[dict[str, Any]]:
        return iter(self.stored["/v1/items"])

    def events(self) -> Iterator[dict[str, Any]]:
        return iter(self.stored["/v1/events"])

    def embeddings(self) -> dict[str, NDArray[np.float32]]:
        return {item["id"]: np.eye(4, dtype=np.float32)[number % 4] for number, item in enumerate(self.stored["/v1/items"])}

    def put_space(self, space: str, rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
        self.spaces[space] = len(list(rows))
        return {"items": self.spaces[space]}

    def recommend(self, request: Mapping[str, Any]) -> dict[str, Any]:
        items = [{"title": item["title"]} for item in self.stored["/v1/items"]]
        degraded = [{"stage": self.degraded, "substitute": "popular"}] if self.degraded else []
        return {"items": items[: request["k"]], "degraded": degraded}
