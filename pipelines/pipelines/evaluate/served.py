"""Asks the running services for rankings. Knows requests and answers, nothing of metrics."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self

import httpx2
import numpy as np
from numpy.typing import NDArray

from pipelines.suite import Suite

SOURCES = ("content", "similar", "collaborative", "popular")
DEADLINE_MS = 20_000


@dataclass(frozen=True)
class Candidates:
    """What every source says of the items one request could recommend: `scores[i, s]` is the standard score of `ids[i]` in SOURCES[s]."""

    ids: tuple[str, ...]
    scores: NDArray[np.float32]


class Served:
    """The running suite, asked as a frontend asks the gateway, and below it source by source."""

    def __init__(self, suite: Suite) -> None:
        self._suite = suite
        self._http = httpx2.Client(timeout=60, trust_env=False)
        self.topics = lru_cache(maxsize=4_096)(self._topics)
        self.embedding = lru_cache(maxsize=16_384)(self._embedding)

    def _post(self, service: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        answer = self._http.post(self._suite.url(service) + path, json=body)
        answer.raise_for_status()
        return dict(answer.json())

    def _topics(self, interest: str) -> tuple[str, ...]:
        answer = self._post("expander", "/v1/expand", {"interests": [interest], "deadline_ms": DEADLINE_MS})
        return tuple(answer["expansions"][0]["topics"])

    def _embedding(self, text: str) -> str:
        return str(self._post("encoder", "/v1/embed", {"texts": [text]})["embeddings"][0])

    def fingerprint(self) -> str:
        """Of the space that the running encoder embeds into."""
        answer = self._http.get(self._suite.url("encoder") + "/v1/fingerprint")
        answer.raise_for_status()
        return str(answer.json()["fingerprint"])

    def fused(self, k: int, **request: Any) -> tuple[str, ...]:
        """The ids the gateway recommends; a degraded answer is not one to measure and raises."""
        answer = self._post("gateway", "/v1/recommendations", {"k": k, "deadline_ms": DEADLINE_MS, **request})
        if answer["degraded"]:
            raise RuntimeError(f"The suite answered degraded: {answer['degraded']}")
        return tuple(item["id"] for item in answer["items"])

    def alone(self, source: str, k: int, **request: Any) -> tuple[str, ...]:
        """The ids that one source alone would recommend."""
        answer = self._post("retriever", "/v1/retrieve", {"k": k, "weights": {source: 1}, **request})
        return tuple(candidate["id"] for candidate in answer["candidates"])

    def queries(self, interest: str, interest_weight: float) -> list[dict[str, Any]]:
        """What the gateway would ask the content space for `interest`: the interest itself and its topics."""
        topics = self.topics(interest)
        shares = [(interest, interest_weight if topics else 1.0), *((topic, (1 - interest_weight) / len(topics)) for topic in topics)]
        return [{"label": text, "embedding": self.embedding(text), "weight": weight} for text, weight in shares if weight > 0]

    def candidates(
        self, k: int, liked: Sequence[str], weights: Mapping[str, float], queries: Sequence[Mapping[str, Any]] = ()
    ) -> Candidates:
        """The first `k` candidates under `weights`, with the standard score of every source."""
        body = {"k": k, "liked": list(liked), "weights": dict(weights), "queries": list(queries)}
        found = self._post("retriever", "/v1/retrieve", body)["candidates"]
        scores = [[candidate["sources"].get(source, {}).get("standard_score", 0.0) for source in SOURCES] for candidate in found]
        return Candidates(tuple(candidate["id"] for candidate in found), np.array(scores, np.float32).reshape(len(found), len(SOURCES)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()
