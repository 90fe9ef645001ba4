"""Writes over HTTP to a process that may die meanwhile, and what must be there afterwards. Knows nothing of how it dies.

One thread writes, one request after another, so that at most one is in doubt when the process dies: what is found must be the state
before it or the state after it, whole.
"""

import base64
import copy
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import numpy as np

from retriever.items import Floats

NAMES = [f"i{number}" for number in range(600)]
DIMENSION = 8
NDJSON = {"content-type": "application/x-ndjson"}
ENCODERS = {"content-1": "encoder-a", "two": "encoder-b"}


@dataclass
class State:
    """Titles by id, vectors by space and id, which space is the content and how the last popular upload was scored."""

    titles: dict[str, str] = field(default_factory=dict)
    vectors: dict[str, dict[str, Floats]] = field(default_factory=dict)
    content: str | None = None
    popular: int | None = None
    generation: int = 0


Change = Callable[[State], None]


class Writer:
    """Random writes, of which each says what it changes. `before` is acknowledged; `after` too if the one on its way was done."""

    def __init__(self, seed: int) -> None:
        self.rng, self._vectors = random.Random(seed), np.random.default_rng(seed)
        self.before, self.after, self.written = State(), State(), 0

    def write(self, client: httpx2.Client, weights: dict[str, float]) -> None:
        """One write; raises httpx2.TransportError when the process died, AssertionError when it refused."""
        (kind,) = self.rng.choices(list(weights), list(weights.values()))
        method, path, asked, change = getattr(self, kind)()
        self.after = copy.copy(self.before)
        self.after.titles, self.after.vectors = dict(self.before.titles), {name: dict(of) for name, of in self.before.vectors.items()}
        change(self.after)
        answer = client.request(method, path, **asked)
        assert answer.status_code in (200, 202, 204), (kind, answer.text)
        said = answer.json() if answer.content else {}
        self.after.generation = said.get("generation", self.before.generation) if isinstance(said, dict) else self.before.generation
        self.before, self.written = self.after, self.written + 1

    def _units(self, n: int) -> Floats:
        drawn = self._vectors.standard_normal((n, DIMENSION))
        units: Floats = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
        return units

    def put(self) -> tuple[str, str, dict[str, Any], Change]:
        """A JSON batch, all of it or nothing."""
        names = self.rng.sample(NAMES, self.rng.choice((1, 7, 100)))
        units, title = self._units(len(names)), f"write {self.written}"
        items = [{"item": {"id": name, "title": title}, "embedding": unit.tolist()} for name, unit in zip(names, units, strict=True)]

        def change(state: State) -> None:
            state.content = state.content or "content-1"
            state.titles.update(dict.fromkeys(names, title))
            state.vectors.setdefault("content-1", {}).update(zip(names, units, strict=True))

        return "PUT", "/v1/items", {"json": {"fingerprint": ENCODERS["content-1"], "items": items}}, change

    def delete(self) -> tuple[str, str, dict[str, Any], Change]:
        names = self.rng.sample(NAMES, 20)

        def change(state: State) -> None:
            for name in names:
                state.titles.pop(name, None)
                for vectors in state.vectors.values():
                    vectors.pop(name, None)

        return "POST", "/v1/items/delete", {"json": {"ids": names}}, change

    def patch(self) -> tuple[str, str, dict[str, Any], Change]:
        names = self.rng.sample(sorted(self.before.titles), min(5, len(self.before.titles)))
        title = f"patch {self.written}"
        body = lines({"id": name, "title": title} for name in names)
        return "PATCH", "/v1/items", {"content": body, "headers": NDJSON}, lambda state: state.titles.update(dict.fromkeys(names, title))

    def fill(self) -> tuple[str, str, dict[str, Any], Change]:
        """Makes the second space, or gives it vectors for all items that lack one."""
        if not self.before.vectors:
            return self.put()
        if "two" not in self.before.vectors:
            made = {"name": "two", "fingerprint": ENCODERS["two"], "dimension": DIMENSION}
            return "POST", "/v1/spaces", {"json": made}, lambda state: state.vectors.update({"two": {}})
        lacking = sorted(self.before.titles.keys() - self.before.vectors["two"].keys()) or sorted(self.before.titles)[:50]
        units = self._units(len(lacking))
        rows = lines({"id": name, "embedding": unit.tolist()} for name, unit in zip(lacking, units, strict=True))
        asked = {"params": {"fingerprint": ENCODERS["two"]}, "content": rows, "headers": NDJSON}
        return "PUT", "/v1/spaces/two/vectors", asked, lambda state: state.vectors["two"].update(zip(lacking, units, strict=True))

    def cut_over(self) -> tuple[str, str, dict[str, Any], Change]:
        """To the other space."""
        others = sorted(self.before.vectors.keys() - {self.before.content})
        if not others:
            return self.fill()
        body = {"space": others[0], "allow_missing": True}
        return "PUT", "/v1/roles/content", {"json": body}, lambda state: setattr(state, "content", others[0])

    def drop(self) -> tuple[str, str, dict[str, Any], Change]:
        if self.before.content == "two" or "two" not in self.before.vectors:
            return self.fill()
        return "DELETE", "/v1/spaces/two", {}, lambda state: state.vectors.__delitem__("two")

    def upload(self) -> tuple[str, str, dict[str, Any], Change]:
        score = self.written
        rows = lines({"id": name, "score": score} for name in NAMES[:300])
        return "PUT", "/v1/spaces/popular", {"content": rows, "headers": NDJSON}, lambda state: setattr(state, "popular", score)

    def merge(self) -> tuple[str, str, dict[str, Any], Change]:
        return "POST", f"/v1/spaces/{self.rng.choice(sorted(self.before.vectors) or ['content'])}/merge", {}, lambda state: None

    def check(self, client: httpx2.Client) -> None:
        """What is found is `before` or `after`, and the search finds all of it; from here on it is what counts."""
        found = titles(client)
        spaces = {said["name"]: said for said in client.get("/v1/spaces").json()}
        content = next((name for name, said in spaces.items() if said.get("role") == "content"), None)
        known = {name: said["rows"] for name, said in spaces.items() if name not in ("collaborative", "popular")}
        score = popular(client, content)
        fitting = [state for state in (self.before, self.after) if _fits(state, found, content, known, score, client)]
        assert fitting, f"neither before nor after the last write: {len(found)} items, content {content!r}, rows {known}, popular {score}"
        generation = client.post("/v1/search", json=_search("content", np.ones((1, DIMENSION), np.float32))).json()["generation"]
        assert generation >= self.before.generation, f"generation {self.before.generation} was acknowledged, {generation} is there"
        self.before = self.after = fitting[-1]


def _fits(state: State, found: dict[str, str], content: str | None, rows: dict[str, int], score: int | None, client: httpx2.Client) -> bool:
    if (state.titles, state.content) != (found, content) or {name: len(of) for name, of in state.vectors.items()} != rows:
        return False
    if score is not None and state.popular is not None and score != state.popular:
        return False
    return all(_finds(client, name, vectors) for name, vectors in state.vectors.items() if vectors)


def _finds(client: httpx2.Client, space: str, vectors: dict[str, Floats]) -> bool:
    """Whether each of some items is nearest to its own vector."""
    names = list(vectors)[-50:]
    asked = _search(space, np.stack([vectors[name] for name in names]))
    answer = client.post("/v1/search", json=asked | {"exact": True})
    assert answer.status_code == 200, answer.text
    best = [result["hits"][0] for result in answer.json()["results"]]
    return [hit["id"] for hit in best] == names and all(hit["score"] > 1 - 1e-5 for hit in best)


def _search(space: str, queries: Floats) -> dict[str, Any]:
    units = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    rows = base64.b64encode(units.astype("<f4").tobytes()).decode()
    return {"searches": [{"space": space, "embeddings": rows}], "k": 1}


def titles(client: httpx2.Client) -> dict[str, str]:
    """Of all items."""
    found: dict[str, str] = {}
    cursor = None
    while True:
        page = client.get("/v1/items", params={"limit": 1_000} | ({"cursor": cursor} if cursor else {})).json()
        found |= {item["id"]: item["title"] for item in page["items"]}
        if not (cursor := page["next_cursor"]):
            return found


def popular(client: httpx2.Client, content: str | None) -> int | None:
    """The score of all uploaded items, which is one number unless an upload is there by half; None when nobody has one."""
    if content is None:
        return None
    answer = client.post("/v1/retrieve", json={"weights": {"popular": 1}, "k": 1_000})
    if answer.status_code == 422:
        return None
    scores = {said["sources"]["popular"]["score"] for said in answer.json()["candidates"] if int(said["id"][1:]) < 300}
    assert len(scores) <= 1, f"an upload is there by half: {scores}"
    return int(scores.pop()) if scores else None


def lines(rows: Any) -> bytes:
    return b"\n".join(json.dumps(row).encode() for row in rows)


def left_over(state: Path, since: float) -> set[str]:
    """Files of the folder of segments from before `since` that its manifest does not name."""
    folder = state / "segments"
    if not (folder / "manifest.json").exists():
        return set()
    said = (folder / "manifest.json").read_text()
    old = {path.name for path in folder.iterdir() if path.is_file() and path.stat().st_mtime < since}
    return {name for name in old - {"manifest.json"} if f'"{name}"' not in said}
