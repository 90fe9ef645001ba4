import json
from collections.abc import Mapping, Sequence

import numpy as np

from retriever.items import Item
from retriever.retrieval import Question, retrieve
from retriever.sources import Query
from retriever.spaces import Upload
from retriever.upload import SpaceUpload
from retriever.view import View

NAMES = [f"i{n:02}" for n in range(20)]


def upload(space: str, rows: Sequence[Mapping[str, object]]) -> Upload:
    reading = SpaceUpload(space)
    reading.feed("\n".join(json.dumps(row) for row in rows).encode())
    return reading.finish()


def test_clearing_away_dead_rows_changes_no_answer() -> None:
    rng = np.random.default_rng(3)
    vectors = rng.standard_normal((30, 6)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    view = View.empty(lenders=3).with_items([Item(name, name, {"n": at}) for at, name in enumerate(NAMES)], vectors[:20])
    lists = [{"id": name, "neighbours": [(other, float(rng.standard_normal())) for other in NAMES[:14]]} for name in NAMES[:14]]
    view = view.with_space("collaborative", upload("collaborative", lists))
    view = view.with_space("popular", upload("popular", [{"id": name, "score": at} for at, name in enumerate(NAMES[:14])]))
    view = view.with_items([Item(name, name, {"n": 7}) for name in NAMES[:10]], vectors[20:]).without(NAMES[11]).without(NAMES[16])
    cleared = view.compacted()
    assert (len(cleared), len(cleared.live), len(view.live)) == (18, 18, 30)
    queries = [Query("q", vectors[0], 1.0)]
    for weights in ({"content": 1.0}, {"similar": 1.0}, {"collaborative": 1.0}, {"popular": 1.0}):
        for liked in (NAMES[1:3], NAMES[17:], []):
            if liked or "similar" not in weights:
                question = Question(weights, queries, liked, k=50)
                before, after = retrieve(view, question, 500), retrieve(cleared, question, 500)
                assert [(one.item, one.said) for one in after.found] == [(one.item, one.said) for one in before.found]
    assert retrieve(cleared.with_items([Item("new", "new")], vectors[:1]), Question({"content": 1.0}, queries), 500).found
