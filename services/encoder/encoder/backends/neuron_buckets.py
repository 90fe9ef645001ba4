"""The shapes a model is compiled for, and which of them, on which core, a batch is run in. Knows nothing of models or devices.

A device runs what was compiled and nothing else, so every batch is padded to a bucket. Where one fails, another that holds the same
batch stands in for it.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from threading import Lock

from encoder.ladder import Ladder

ASIDE_S = 60.0
"""Seconds for which a place that failed where another did not is left alone."""
HUNG_S = 30.0
"""Seconds after which a run that has not come back means that its core hangs: no more is given to it until it does."""


@dataclass(frozen=True)
class Bucket:
    """One compiled shape: `rows` passages of `length` tokens each, padding included."""

    rows: int
    length: int

    @property
    def name(self) -> str:
        """Such as `8x64`."""
        return f"{self.rows}x{self.length}"

    @property
    def positions(self) -> int:
        """Tokens and padding; what a run costs grows with it."""
        return self.rows * self.length


def grid(rows: Iterable[int], lengths: Iterable[int]) -> tuple[Bucket, ...]:
    """Every number of rows with every length, ascending."""
    return tuple(Bucket(count, length) for length in sorted(set(lengths)) for count in sorted(set(rows)))


def parse(name: str) -> Bucket:
    """`8x64` -> the bucket; raises `ValueError` for anything else."""
    rows, _, length = name.partition("x")
    bucket = Bucket(int(rows), int(length))
    if bucket.rows < 1 or bucket.length < 1 or bucket.name != name:
        raise ValueError(f"{name!r} is no bucket; one is written like 8x64")
    return bucket


def ladder_of(buckets: Sequence[Bucket], cores: int) -> Ladder:
    """The batches that fill these buckets, as many at once as there are cores."""
    lengths = tuple(sorted({bucket.length for bucket in buckets}))
    return Ladder(lengths, max(bucket.rows for bucket in buckets), max(bucket.positions for bucket in buckets), cores)


@dataclass(frozen=True)
class Place:
    """A bucket on one core."""

    bucket: Bucket
    core: int


@dataclass(frozen=True)
class Run:
    """A place that was taken, and since when in seconds of the clock."""

    place: Place
    since: float


class Places:
    """Which places are free to run in. Called from several threads at once."""

    def __init__(self, buckets: Sequence[Bucket], cores: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._places = [Place(bucket, core) for bucket in sorted(buckets, key=lambda bucket: bucket.positions) for core in range(cores)]
        self._running: dict[int, list[float]] = {core: [] for core in range(cores)}
        self._aside: dict[Place, float] = {}
        self._clock, self._lock = clock, Lock()

    def take(self, rows: int, longest: int, tried: Sequence[Place]) -> Run | None:
        """The cheapest place that holds so many passages of at most `longest` tokens, on the core with the least to do.

        Where none holds all of them, the one that holds most. None where nothing is left beside what was `tried`, what is set aside
        and what hangs. What is taken is to be given back.
        """
        with self._lock:
            now = self._clock()
            usable = [place for place in self._places if place.bucket.length >= longest and place not in tried and self._sound(place, now)]
            if not usable:
                return None
            most = min(rows, max(place.bucket.rows for place in usable))
            chosen = min(
                (place for place in usable if place.bucket.rows >= most),
                key=lambda place: (place.bucket.positions, len(self._running[place.core]), place.core),
            )
            self._running[chosen.core].append(now)
            return Run(chosen, now)

    def give_back(self, run: Run) -> None:
        """It has ended, well or not."""
        with self._lock:
            self._running[run.place.core].remove(run.since)

    def set_aside(self, places: Iterable[Place]) -> None:
        """These failed on passages that another place embedded, so the fault is theirs."""
        with self._lock:
            self._aside.update(dict.fromkeys(places, self._clock() + ASIDE_S))

    def _sound(self, place: Place, now: float) -> bool:
        running = self._running[place.core]
        return self._aside.get(place, now) <= now and (not running or now - min(running) < HUNG_S)
