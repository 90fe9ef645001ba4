"""Keeps a read replica up to date from object storage. Knows nothing of who publishes, nor of who asks the replica.

The replica serves what it last heard while storage is away, damaged or behind. When what follows is missing or of another line, a newer
snapshot is restored beside the present state, opened, and shown in its place.
"""

import hashlib
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from retriever.changelog import Change, from_bytes
from retriever.errors import Damaged, Foreign, ObjectMissing, RetrieverError
from retriever.manifest import CATALOGUE, Manifest
from retriever.position import HEARD, Position, announced, remember, remembered
from retriever.restoration import names, read, restore
from retriever.storage import Objects
from servicekit import logs

REPLICAS = "replicas"
"""The folder inside the state folder that holds one restored folder, or two while one takes the other's place."""
GRACE_S = 60.0
"""For which a replaced replica stays open: requests that began with it are answered from it."""
CLOSE_S = 10.0
LOG = logs.get(__name__)


class Replica(Protocol):
    """What a follower needs of a library."""

    @property
    def generation(self) -> int:
        """Of the last change."""

    def apply(self, change: Change) -> None:
        """All of it or nothing; afterwards the generation is the change's."""

    def close(self) -> None:
        """After this it is not used any more."""


R = TypeVar("R", bound=Replica)


class Follower(Generic[R]):
    """Follows `url` in `state_dir`: `step` once, or between `start` and `close` every `every_s` seconds.

    `open_replica` opens a catalogue file; `show` is called with each replica that is to be asked from then on.
    """

    def __init__(self, state_dir: Path, url: str, open_replica: Callable[[Path], R], show: Callable[[R], None], *, every_s: float) -> None:
        self._folder, self._objects = state_dir / REPLICAS, Objects(url)
        self._open, self._show, self._every_s = open_replica, show, every_s
        self._here: tuple[Path, R, Position] | None = None
        self._retired: list[tuple[float, Path, R]] = []
        self._current_at = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="follow", daemon=True)

    def start(self) -> None:
        """Shows what was heard before the restart, if anything was, and goes on hearing in the background."""
        if self._here is None:
            self.resume()
        self._thread.start()

    def close(self) -> None:
        """Ends, at the latest after CLOSE_S; what comes from storage later is not applied."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(CLOSE_S)
        self._clear(at=float("inf"))
        if self._here:
            self._here[1].close()
            self._here = None

    def lag_s(self) -> float:
        """Seconds since this replica was known to have all that is announced."""
        return time.monotonic() - self._current_at

    def resume(self) -> None:
        """Opens what an earlier process heard of this URL; half-restored folders and those of other URLs go."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for folder in sorted(self._folder.iterdir(), reverse=True):
            position = remembered(folder / HEARD, self._objects.url)
            try:
                if position is not None and self._here is None:
                    self._replace(folder, position)
                    continue
            except RetrieverError as error:
                LOG.warning("replica_not_opened", folder=str(folder), reason=str(error))
            shutil.rmtree(folder)

    def step(self) -> None:
        """Hears everything that is announced. Raises StorageAway, ObjectMissing, Damaged, Foreign; what is shown stays."""
        head = announced(self._objects)
        if self._here is None or self._here[2].line != head.line:
            self._bootstrap(head)
        while self._here is not None and self._here[2].generation < head.generation and not self._stop.is_set():
            try:
                self._hear(*self._here)
            except (ObjectMissing, Damaged, Foreign) as gap:
                LOG.warning("changes_missing", reason=str(gap))
                self._bootstrap(head)
        if not self._stop.is_set():
            self._current_at = time.monotonic()

    def _hear(self, folder: Path, replica: R, position: Position) -> None:
        content = self._objects.get(position.next_change)
        change = from_bytes(position.next_change, content, position)
        if self._stop.is_set():
            return
        if change.generation > replica.generation:  # else it is in the snapshot already
            replica.apply(change)
        position = Position(position.line, change.generation, change.watermark, hashlib.sha256(content).hexdigest())
        remember(folder / HEARD, self._objects.url, position)
        self._here = (folder, replica, position)

    def _bootstrap(self, head: Position) -> None:
        """Begins anew from the newest whole snapshot that leads further; raises ObjectMissing when there is none."""
        for manifest in self._leading_on(head):
            folder = self._folder / manifest.name
            shutil.rmtree(folder, ignore_errors=True)
            try:
                restore(self._objects.url, manifest.name, folder)
            except (Damaged, ObjectMissing) as error:
                LOG.warning("snapshot_refused", snapshot=manifest.name, reason=str(error))
                shutil.rmtree(folder)
                continue
            assert manifest.follows is not None
            remember(folder / HEARD, self._objects.url, manifest.follows)
            self._replace(folder, manifest.follows)
            LOG.info("snapshot_followed", snapshot=manifest.name, generation=manifest.generation)
            return
        raise ObjectMissing(f"No snapshot under {self._objects.url} leads to generation {head.generation}; take one on the writer.")

    def _leading_on(self, head: Position) -> Iterator[Manifest]:
        """Snapshots of the announced line, the newest first; on the line that is followed already, only those that are further on."""
        at = self._here[2] if self._here else None
        for name in reversed(names(self._objects)):
            try:
                manifest = read(self._objects, name)
            except (Damaged, Foreign, ObjectMissing) as error:
                LOG.warning("snapshot_refused", snapshot=name, reason=str(error))
                continue
            follows = manifest.follows
            if follows and follows.line == head.line and (not at or at.line != head.line or follows.generation > at.generation):
                yield manifest

    def _replace(self, folder: Path, position: Position) -> None:
        replica = self._open(folder / CATALOGUE)
        self._show(replica)
        if self._here:
            self._retired.append((time.monotonic() + GRACE_S, *self._here[:2]))
        self._here = (folder, replica, position)

    def _clear(self, at: float) -> None:
        """Closes the replaced replicas whose grace is over, and removes their folders."""
        over = [retired for retired in self._retired if retired[0] <= at]
        self._retired = [retired for retired in self._retired if retired[0] > at]
        for _, folder, replica in over:
            replica.close()
            shutil.rmtree(folder, ignore_errors=True)

    def _run(self) -> None:
        failure = ""
        while True:
            try:
                self.step()
                failure = ""
            except Exception as error:  # whatever it is, what is published later has to be heard too
                if type(error).__name__ != failure:
                    LOG.warning("following_failed", error=type(error).__name__, reason=str(error))
                failure = type(error).__name__
            self._clear(time.monotonic())
            if self._stop.wait(self._every_s):
                return
