"""Seconds from starting the service's process until it is ready, with files in the page cache and not. Knows nothing of its work."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tests.bench.encoder_models import Model
from tests.bench.encoder_server import Server
from tests.bench.retriever_timing import ROUNDS, median


def evicted(folders: Iterable[Path]) -> None:
    """Asks the system to forget its cached pages of the files below `folders`, as after a restart of the machine."""
    for path in (file for folder in folders if folder.is_dir() for file in folder.rglob("*") if file.is_file()):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def started(model: Model, state: Path, rounds: int) -> dict[str, Any]:
    """The first start may build what later ones read; it is told apart."""
    with Server(state, model) as server:
        first, memory = server.ready_s, server.memory()
    warm, cold = [], []
    for _ in range(rounds):
        with Server(state, model) as server:
            warm.append(server.ready_s)
        evicted([server.folder, Path(model.settings["model"]), model.folder])
        with Server(state, model) as server:
            cold.append(server.ready_s)
    return {"first_s": first, "warm_s": median(warm), "cold_s": median(cold), "memory": memory}


def measure(models: Sequence[Model], state: Path, rounds: int = ROUNDS) -> dict[str, Any]:
    return {model.name: started(model, state, rounds) for model in models}
