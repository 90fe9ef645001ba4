"""A library under trial and all that is known of it. Knows nothing of the operations."""

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.chaos.draws import Draws
from tests.chaos.truth import Truth

from retriever.errors import RetrieverError
from retriever.library import Library
from retriever.upkeep import Job


class Trial:
    """The library in `folder`, what it must hold, the jobs on their way, and what was done and found so far."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.path, self.seed, self.done = folder / "catalogue.sqlite3", seed, 0
        self.rng, self.truth = random.Random(seed), Truth()
        self.draw = Draws(self.rng, self.truth)
        self.library = self.opened()
        self.jobs: list[Job] = []
        self.built: dict[Job, dict[str, Any]] = {}
        self.found, self.wanted = 0, 0
        self.did, self.plans, self.damages = Counter[str](), Counter[str](), Counter[str]()

    @property
    def recall(self) -> float:
        """Of approximate searches."""
        return self.found / max(1, self.wanted)

    def opened(self) -> Library:
        return Library(self.path, lenders=3, fsync=False)

    def reopen(self) -> None:
        self.library.close()
        self.forget_jobs()
        self.library = self.opened()

    def forget_jobs(self) -> None:
        self.jobs, self.built = [], {}

    def refused(self, error: type[RetrieverError], work: Callable[[], object]) -> None:
        """`work` fails with `error` and changes nothing."""
        generation = self.library.generation
        try:
            work()
        except error:
            assert self.library.generation == generation
        else:
            raise AssertionError(f"{error.__name__} was not raised")

    def close(self) -> None:
        self.library.close()
