"""MiniLM served by us against MiniLM served by Infinity, and against sentence-transformers in a process of its own, over the same texts.

Each peer runs as it is installed, in fp32 by PyTorch, at the best of the settings tried. Knows nothing of how the peers work.
"""

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tests.bench import encoder_texts
from tests.bench.encoder_models import Model, minilm_folder
from tests.bench.encoder_peer_envs import SERVED_AS, PeerFailed, Worker, infinity, version
from tests.bench.encoder_server import Server, embed_requests, post
from tests.bench.encoder_serving import CLIENTS, PROOF, SHAPES, Extent, Fresh, closed
from tests.bench.retriever_load import Load
from tests.bench.retriever_timing import median

from encoder import cpus

BATCHES = (8, 32, 64)
INFINITY_BATCHES = (8, 32)
Floats = NDArray[np.float32]


def openai_requests(texts: Sequence[str], size: int) -> list[bytes]:
    """As OpenAI's embeddings API has them, with base64 where the server knows it: the cheaper answer."""
    parts = [texts[at : at + size] for at in range(0, len(texts), size)]
    return [post("/embeddings", json.dumps({"model": SERVED_AS, "input": part, "encoding_format": "base64"}).encode()) for part in parts]


def proof(port: int, texts: Sequence[str]) -> Floats:
    """Infinity's embeddings, of unit length."""
    body = json.dumps({"model": SERVED_AS, "input": list(texts)}).encode()
    with Load(port, 1) as load:
        rows = [row["embedding"] for row in json.loads(load.closed([post("/embeddings", body)]).answers[0].body)["data"]]
    embeddings: Floats = np.array(rows, np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    return embeddings


def rates(port: int, fresh: Fresh, count: int, ours: bool) -> dict[str, float]:
    """Texts a second for each shape of request."""
    render = embed_requests if ours else openai_requests
    return {shape: count / closed(port, render(fresh.take(count), size)).seconds for shape, size in SHAPES.items()}


def alike(a: Floats, b: Floats) -> float:
    return float(np.min(np.sum(a * b, axis=1)))


def against_infinity(ours: Sequence[Model], state: Path, extent: Extent) -> dict[str, Any]:
    """In turns with each of ours, at the batch size that suits Infinity best; both stay loaded, one is asked at a time."""
    tried: dict[int, float] = {}
    fresh = Fresh()
    for batch in INFINITY_BATCHES:
        with infinity(state, minilm_folder(), "--batch-size", str(batch), "--model-warmup") as port:
            closed(port, openai_requests(fresh.take(CLIENTS), 1))
            tried[batch] = max(rates(port, fresh, extent.tried, ours=False).values())
    batch = max(tried, key=lambda size: tried[size])
    told: dict[str, Any] = {"version": version("infinity", "infinity-emb", state), "batch": batch, "tried": tried, "models": {}}
    with infinity(state, minilm_folder(), "--batch-size", str(batch), "--model-warmup") as port:
        reference = proof(port, encoder_texts.catalogue(PROOF))
        for model in ours:
            with Server(state, model) as server:
                cosine = alike(reference, server.ask(encoder_texts.catalogue(PROOF), 8))
                closed(server.port, embed_requests(fresh.take(CLIENTS * 4)))
                rounds = []
                for _ in range(extent.rounds):
                    count = max(CLIENTS * 8, round(tried[batch] * extent.seconds) // 8 * 8)
                    theirs = rates(port, fresh, count, ours=False)
                    mine = rates(server.port, fresh, count, ours=True)
                    rounds.append({shape: (mine[shape], theirs[shape]) for shape in SHAPES})
            told["models"][model.name] = {"cosine": cosine, **compared(rounds)}
    return told


def compared(rounds: Sequence[dict[str, tuple[float, float]]]) -> dict[str, Any]:
    """Medians of both sides and of their ratios, for each shape."""
    return {
        shape: {
            "ours": median([one[shape][0] for one in rounds]),
            "theirs": median([one[shape][1] for one in rounds]),
            "ratio": median([one[shape][0] / one[shape][1] for one in rounds]),
        }
        for shape in rounds[0]
    }


def against_sentence_transformers(ours: Sequence[Model], state: Path, extent: Extent) -> dict[str, Any]:
    """Ours over HTTP by 16 clients; theirs by one call with all texts in this run's order, at the best batch size and threads."""
    fresh = Fresh()
    with Worker(state, "sentence-transformers", str(minilm_folder())) as worker:
        worker.ask(texts=fresh.take(16), batch=8, threads=1)
        settings = list(itertools.product(BATCHES, sorted({1, cpus.available()})))
        tried = {pair: worker.ask(texts=fresh.take(extent.tried), batch=pair[0], threads=pair[1])["per_s"] for pair in settings}
        batch, threads = max(tried, key=lambda pair: tried[pair])
        texts = encoder_texts.catalogue(PROOF)
        reference: Floats = np.array(worker.ask(texts=texts, batch=batch, threads=threads, rows=True)["rows"], np.float32)
        told: dict[str, Any] = {"version": worker.version, "batch": batch, "threads": threads, "models": {}}
        for model in ours:
            with Server(state, model) as server:
                cosine = alike(reference, server.ask(texts, 8))
                closed(server.port, embed_requests(fresh.take(CLIENTS * 4)))
                rounds = []
                for _ in range(extent.rounds):
                    count = max(CLIENTS * 8, round(tried[batch, threads] * extent.seconds) // 8 * 8)
                    theirs = worker.ask(texts=fresh.take(count), batch=batch, threads=threads)["per_s"]
                    mine = rates(server.port, fresh, count, ours=True)
                    rounds.append({shape: (mine[shape], theirs) for shape in SHAPES})
            told["models"][model.name] = {"cosine": cosine, **compared(rounds)}
    return told


def measure(ours: Sequence[Model], state: Path, extent: Extent) -> dict[str, Any]:
    """Each peer, or why it could not be measured."""
    told: dict[str, Any] = {}
    for name, work in (("infinity", against_infinity), ("sentence-transformers", against_sentence_transformers)):
        try:
            told[name] = work(ours, state, extent)
        except PeerFailed as failed:
            told[name] = {"failed": str(failed)}
        print(f"  {name}: {told[name]}", flush=True)
    return told
