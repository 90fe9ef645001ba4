"""How long snapshots, changes and their replay take: `python -m tests.bench.replication --items 50000`. A local folder is the storage."""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np

from retriever.follower import Follower
from retriever.items import Item
from retriever.library import Library
from retriever.manifest import CATALOGUE
from retriever.publisher import Publisher
from retriever.restoration import restore
from retriever.snapshot import take

BATCH = 1_000


@contextmanager
def timed(what: str, count: int) -> Iterator[None]:
    started = time.perf_counter()
    yield
    seconds = time.perf_counter() - started
    print(f"{what:45} {seconds:8.3f} s {count / seconds:12.0f}/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=50_000)
    parser.add_argument("--dimension", type=int, default=384)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), asked.items, asked.dimension)
    print(f"largest resident memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


def measure(folder: Path, items: int, dimension: int) -> None:
    (folder / "writer").mkdir()
    url, chance = str(folder / "objects"), np.random.default_rng(1)
    with closing(Library(folder / "writer" / CATALOGUE, 10)) as library:
        publisher = Publisher(folder / "writer", url, every_s=1, snapshot_after=10**9, keep=2)

        def write(first: int, count: int) -> None:
            for start in range(first, first + count, BATCH):
                vectors = chance.normal(size=(min(BATCH, count), dimension)).astype(np.float32)
                vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
                library.put("f", [Item(f"i{start + at}", f"title {at}", {"year": at}, "a text") for at in range(len(vectors))], vectors)

        write(0, items)
        with timed(f"first snapshot, {items} items", items):
            publisher.step()
        with timed("another, nothing changed", items):
            take(folder / "writer", url)
        with timed("restore, every hash checked", items):
            restore(url, "latest", folder / "restored")
        shown: list[Library] = []
        follower = Follower(folder / "reader", url, lambda path: Library(path, 10), shown.append, every_s=1)
        with timed("reader begins: restore and open", items):
            follower.step()
        for count in (1, 1_000, 10_000):
            write(10**7 + count * 10, count)
            step(f"publish a change of {count}", publisher.step, count)
            step(f"hear it: {count}", follower.step, count)
        assert shown[-1].generation == library.generation
        follower.close()


def step(what: str, work: Callable[[], None], count: int) -> None:
    with timed(what, count):
        work()


if __name__ == "__main__":
    main()
