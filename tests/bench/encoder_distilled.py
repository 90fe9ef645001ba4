"""The small T5 of the project against MiniLM, one text at a time on one thread, every text by each model in turn. Knows no requests."""

import random
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tests.bench import encoder_texts
from tests.bench.encoder_models import Model
from tests.bench.retriever_timing import percentiles

from encoder.backends.protocol import Backend
from pipelines import labels, sample

WARM_UP = 20
"""Texts before any is timed."""


def queries(count: int) -> list[str]:
    """What people type, about as short as it gets: one of a book's genres and its author, none twice."""
    drawn = random.Random(encoder_texts.SEED)
    said: dict[str, None] = {}
    for item in drawn.sample(list(sample.items()), sample.ITEM_COUNT):
        attributes = item["attributes"]
        genres, authors = attributes.get("genres", ()), attributes.get("authors", ())
        if genres and authors:
            said[f"{' '.join(labels.words_of(drawn.choice(genres)))} like {authors[0]}"] = None
    return list(said)[:count]


def timed(backends: Mapping[str, Backend], texts: Sequence[str]) -> dict[str, dict[str, float]]:
    """Milliseconds of tokenising and running a text, and its tokens, by model; the models take turns at each text."""
    times: dict[str, list[float]] = {name: [] for name in backends}
    tokens: dict[str, list[int]] = {name: [] for name in backends}
    for text in texts:
        for name, backend in backends.items():
            started = time.perf_counter()
            passage = backend.tokenise(text)
            backend.run([passage])
            times[name].append(1_000 * (time.perf_counter() - started))
            tokens[name].append(len(passage))
    return {name: {**percentiles(times[name][WARM_UP:]), "tokens": float(np.mean(tokens[name]))} for name in backends}


def measure(models: Sequence[Model], state: Path, count: int) -> dict[str, Any]:
    """For each kind of text the p50 and p99 of every model."""
    backends = {model.name: model.open(state) for model in models}
    try:
        kinds = {"passages": encoder_texts.catalogue(count + WARM_UP), "queries": queries(count + WARM_UP)}
        return {kind: timed(backends, texts) for kind, texts in kinds.items()}
    finally:
        for backend in backends.values():
            backend.close()
