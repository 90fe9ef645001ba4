"""Texts of mixed lengths by the ladder against one padded batch of all of them, on one thread. Knows nothing of requests."""

import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.bench import encoder_texts
from tests.bench.encoder_models import Model
from tests.bench.retriever_timing import median

from encoder.backends.protocol import embed

LOW, HIGH = 8, 128
MIXES = {"geometric": encoder_texts.geometric, "uniform": encoder_texts.uniform}
"""How lengths are spread: their logarithms evenly, as in a catalogue, or the lengths themselves."""


def seconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def mixed(model: Model, state: Path, count: int, rounds: int) -> dict[str, Any]:
    """For each mix the seconds of both ways, in turns."""
    backend, drawn, told = model.open(state), random.Random(3), {}
    for name, lengths in MIXES.items():
        tokens = lengths(count, LOW, HIGH)
        tokens[:2] = LOW, HIGH
        texts = [encoder_texts.of_tokens(int(length), backend.tokenise, drawn) for length in tokens]
        timed = []
        for _ in range(rounds):
            by_ladder = seconds(lambda texts=texts: embed(backend, texts))  # type: ignore[misc]
            timed.append((by_ladder, seconds(lambda texts=texts: backend.run([backend.tokenise(text) for text in texts]))))  # type: ignore[misc]
        told[name] = {
            "texts": count,
            "mean_tokens": float(tokens.mean()),
            "ladder_ms": 1_000 * median([one for one, _ in timed]),
            "padded_ms": 1_000 * median([one for _, one in timed]),
            "ratio": median([padded / ladder for ladder, padded in timed]),
        }
    backend.close()
    return told


def measure(models: Sequence[Model], state: Path, count: int, rounds: int) -> dict[str, Any]:
    return {model.name: mixed(model, state, count, rounds) for model in models}
