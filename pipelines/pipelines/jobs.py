"""The jobs that follow an import: topics, popularity, collaborative neighbours. Knows their order and where results go."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from pipelines import collaborative, popularity, topics
from pipelines.api import Api
from pipelines.interactions import Interactions

Result = TypeVar("Result")


def _timed(label: str, job: Callable[[], Result]) -> Result:
    started = time.monotonic()
    result = job()
    print(f"{label}: {time.monotonic() - started:.1f} s")
    return result


def refresh(api: Api, topics_path: Path) -> None:
    """Recomputes everything that is derived from items and events, and puts it where the services read it."""
    _timed("topics from the catalogue's genres", lambda: topics.write(topics_path, topics.build_topics(api.items())))
    interactions = _timed("events read", lambda: Interactions.from_events(api.events()))
    embeddings = _timed("embeddings read", api.embeddings)
    known = interactions.of(embeddings)  # events may name items that were never imported, or are gone
    if not known.items:
        print("no events of the catalogue's items yet: popularity and collaborative neighbours wait for some")
        return
    _timed("popularity", lambda: api.put_space("popular", popularity.rows(known)))
    texts = np.stack([embeddings[item] for item in known.items])
    _timed("collaborative neighbours", lambda: api.put_space("collaborative", collaborative.rows(known, texts)))
