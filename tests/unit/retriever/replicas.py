"""A writer and readers of one folder of objects, stepped by hand."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from retriever.follower import Follower
from retriever.items import Floats, Item
from retriever.library import Library
from retriever.manifest import CATALOGUE
from retriever.position import HEAD, PUBLISHED
from retriever.publisher import Publisher

DIMENSION = 6


def unit_vectors(count: int, seed: int) -> Floats:
    vectors = np.random.default_rng(seed).normal(size=(count, DIMENSION)).astype(np.float32)
    units: Floats = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return units


def put(library: Library, *ids: str, seed: int = 0) -> None:
    library.put("f", [Item(name, f"{name} {seed}", {"tags": (name,)}, "text") for name in ids], unit_vectors(len(ids), seed))


class Writer:
    """A library that is published."""

    def __init__(self, folder: Path, url: str, snapshot_after: int = 1_000) -> None:
        folder.mkdir(exist_ok=True)
        self.folder, self.url, self._after = folder, url, snapshot_after
        self.library = Library(folder / CATALOGUE, 10)
        self.publisher = self.restarted()

    def restarted(self) -> Publisher:
        """A publisher as a new process has it."""
        self.publisher = Publisher(self.folder, self.url, every_s=0.05, snapshot_after=self._after, keep=2)
        return self.publisher

    @contextmanager
    def crashing(self, *forgotten: str) -> Iterator[None]:
        """What is written inside to `forgotten` (HEAD, PUBLISHED) never was: the process died before."""
        paths = {HEAD: Path(self.url) / HEAD, PUBLISHED: self.folder / PUBLISHED}
        before = {name: paths[name].read_bytes() for name in forgotten}
        yield
        for name, content in before.items():
            paths[name].write_bytes(content)
        self.restarted()


class Reader:
    """A follower and the libraries that it showed."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        self.shown: list[Library] = []
        self.follower = self.restarted()

    def restarted(self) -> Follower[Library]:
        """A follower as a new process has it; what it finds in its folder is shown."""
        self.follower = Follower(self.folder, self.url, lambda path: Library(path, 10), self.shown.append, every_s=0.05)
        self.follower.resume()
        return self.follower

    @property
    def library(self) -> Library:
        return self.shown[-1]

    def ids(self) -> list[str]:
        return [item.id for item in self.library.after("", 1_000)]


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline, "it never came to hold"
        time.sleep(0.01)


def copied(folder: Path, to: Path) -> Path:
    shutil.copytree(folder, to)
    return to
