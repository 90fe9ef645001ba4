"""The best that the same backend does in this process without a service around it. Knows no HTTP.

All texts are there from the start, tokenised and sorted by length at once, and threads take batches of the best size: more than a service
can know of the requests that come.
"""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from encoder import cpus
from encoder.backends.protocol import Backend, batches

SIZES = (1, 4, 8, 16, 32)
PORTION = 64


def texts_per_second(backend: Backend, texts: Sequence[str], size: int, threads: int) -> float:
    """All `texts` once, at most `size` in a run, by `threads` that run side by side; tokenisation is counted."""
    portions = [texts[at : at + PORTION] for at in range(0, len(texts), PORTION)]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(str, range(threads)))  # starts them
        started = time.perf_counter()
        passages: list[Any] = [one for part in pool.map(lambda part: [backend.tokenise(text) for text in part], portions) for one in part]
        runs = batches([len(passage) for passage in passages], replace(backend.ladder, texts=size))
        list(pool.map(lambda chosen: backend.run([passages[index] for index in chosen]), reversed(runs)))
        return len(texts) / (time.perf_counter() - started)


def best(backend: Backend, texts: Sequence[str], sizes: Sequence[int] = SIZES) -> tuple[int, int]:
    """The size of runs and number of threads that embed the most texts a second."""
    tried = {(size, threads): texts_per_second(backend, texts, size, threads) for size in sizes for threads in {1, cpus.available()}}
    return max(tried, key=lambda pair: tried[pair])
