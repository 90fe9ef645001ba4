"""Texts a second over HTTP against the best loop over the same backend in this process. Knows nothing of other servers."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tests.bench import encoder_texts
from tests.bench.encoder_models import Model
from tests.bench.encoder_raw import best, texts_per_second
from tests.bench.encoder_server import EncoderAnswered, Server, embed_requests
from tests.bench.retriever_load import Load, Outcome
from tests.bench.retriever_timing import ROUNDS, median

from encoder.backends.protocol import embed

CLIENTS = 16
SHAPES = {"single": 1, "of 8": 8}
"""Texts in a request."""
PROOF = 24


@dataclass(frozen=True)
class Extent:
    """How long is measured: seconds of a round, texts that pick the best loop, and the rounds."""

    seconds: float = 6.0
    tried: int = 256
    rounds: int = ROUNDS

    @classmethod
    def quick(cls) -> "Extent":
        return cls(1.0, 32, 1)


def closed(port: int, requests: Sequence[bytes], clients: int = CLIENTS) -> Outcome:
    """All requests once, each client asking when it is answered; raises `EncoderAnswered` when one is refused."""
    with Load(port, clients, keep=False) as load:
        outcome = load.closed(requests)
    if refused := outcome.refused():
        raise EncoderAnswered(refused[0])
    return outcome


class Fresh:
    """Hands out texts that nobody has seen; the first one is never a repetition."""

    def __init__(self) -> None:
        self._at = 0

    def take(self, count: int) -> list[str]:
        taken = encoder_texts.catalogue(count, self._at)
        self._at += count
        return taken


def agreement(server: Server, backend: Any) -> float:
    """The smallest cosine between what is served and what the loop computes: that both do the same work."""
    texts = encoder_texts.catalogue(PROOF)
    return float(np.min(np.sum(server.ask(texts, 8) * embed(backend, texts), axis=1)))


def against_raw(model: Model, state: Path, extent: Extent, sizes: Sequence[int]) -> dict[str, Any]:
    """Both in turns over texts of the same lengths."""
    backend, fresh = model.open(state), Fresh()
    size, threads = best(backend, fresh.take(extent.tried), sizes)
    rounds: list[dict[str, float]] = []
    with Server(state, model) as server:
        cosine = agreement(server, backend)
        for _ in range(extent.rounds):
            rate = texts_per_second(backend, fresh.take(extent.tried), size, threads)
            count = max(CLIENTS * 8, round(rate * extent.seconds) // 8 * 8)
            figures = {"raw": texts_per_second(backend, fresh.take(count), size, threads)}
            for shape, texts in SHAPES.items():
                requests, cpu_s = embed_requests(fresh.take(count), texts), server.cpu_s()
                outcome = closed(server.port, requests)
                figures[f"http {shape}"] = count / outcome.seconds
                figures[f"cpu ms {shape}"] = 1_000 * (server.cpu_s() - cpu_s) / count
                figures[f"client {shape}"] = outcome.client_share
                figures[f"ratio {shape}"] = figures[f"http {shape}"] / figures["raw"]
            rounds.append(figures)
    lengths = [len(backend.tokenise(text)) for text in encoder_texts.catalogue(500)]
    backend.close()
    return {
        "size": size,
        "threads": threads,
        "cosine": cosine,
        "tokens": {"mean": float(np.mean(lengths)), "p10": float(np.percentile(lengths, 10)), "p90": float(np.percentile(lengths, 90))},
        "medians": {name: median([one[name] for one in rounds]) for name in rounds[0]},
    }


def measure(models: Sequence[Model], state: Path, extent: Extent, sizes: Sequence[int]) -> dict[str, Any]:
    """For each model."""
    return {"clients": CLIENTS, "models": {model.name: against_raw(model, state, extent, sizes) for model in models}}
