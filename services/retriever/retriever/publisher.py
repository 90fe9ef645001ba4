"""Tells readers through object storage what a writer commits. Knows nothing of who listens, nor of the index.

What is published is derived from SQLite and from the position that was announced last, so a crash between a commit and its publication
loses nothing. Whatever does not fit together (another catalogue's announcement, a lost one, a restored folder) begins a new line with a
snapshot, and readers go over to it.
"""

import hashlib
import secrets
import sqlite3
import threading
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from retriever import changelog
from retriever.errors import Damaged, Foreign, ObjectMissing, PublisherReplaced, RetrieverError, StorageFailed
from retriever.manifest import CATALOGUE
from retriever.position import CHANGES, PUBLISHED, Position, announce, announced, remember, remembered
from retriever.snapshot import prune, take
from retriever.storage import Objects
from servicekit import logs

MOST = 20_000
"""Items or vectors in one change; when more are to be told (a bulk import, storage that was away) readers get a snapshot instead."""
SMALL_BYTES = 64 * 2**20
"""Changes of fewer bytes than this, or than half the snapshot, are not worth another one."""
CLOSE_S = 10.0
LOG = logs.get(__name__)


@dataclass
class Told:
    """What was published since the last snapshot of `size` bytes."""

    changes: int = 0
    bytes: int = 0
    size: int = 0

    def due(self, after: int) -> bool:
        return self.changes >= after or self.bytes >= max(SMALL_BYTES, self.size // 2)


class Publisher:
    """Publishes the catalogue of `state_dir` to `url`: `step` once, or between `start` and `close` every `every_s` seconds.

    A snapshot is taken in the background after `snapshot_after` changes; the newest `keep` are kept.
    """

    def __init__(self, state_dir: Path, url: str, *, every_s: float, snapshot_after: int, keep: int) -> None:
        self._state_dir, self._objects = state_dir, Objects(url)
        self._every_s, self._after, self._keep = every_s, snapshot_after, keep
        self._position: Position | None = None
        self._tried: Position | None = None
        self._told = Told()
        self._behind_since: float | None = None
        self._failed_snapshots = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="publish", daemon=True)
        self._snapshot: threading.Thread | None = None

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Publishes what is left and ends; waits CLOSE_S for storage at most, and not for a snapshot, which then does not exist."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(CLOSE_S)

    def wait_for_snapshot(self) -> None:
        """Until the one that is being taken, if any, is there or has failed."""
        if self._snapshot:
            self._snapshot.join()

    def behind_s(self) -> float:
        """For how many seconds something has been committed that is not published."""
        since = self._behind_since
        return time.monotonic() - since if since is not None else 0.0

    def generation(self) -> int:
        """The one that was announced last; 0 before the first."""
        return self._position.generation if self._position else 0

    def failed_snapshots(self) -> int:
        """How many failed, of those that are taken beside the changes, since the last that did not."""
        return self._failed_snapshots

    def step(self) -> None:
        """Publishes what was committed since the last time. Raises StorageAway, StorageFailed, PublisherReplaced."""
        try:
            with closing(sqlite3.connect(self._state_dir / CATALOGUE, timeout=10, isolation_level=None)) as connection:
                self._publish(connection)
        except sqlite3.Error as error:
            raise StorageFailed(f"The changes could not be read ({error}) and are published later; check the disk of state_dir.") from error

    def _publish(self, connection: sqlite3.Connection) -> None:
        generation = changelog.generation_of(connection)
        if self._position is not None and generation == self._position.generation:
            return
        self._behind_since = self._behind_since or time.monotonic()
        position = self._begun(generation) if self._position is None else self._agreed(self._position)
        if position is None:
            self._begin(secrets.token_hex(8))
        elif generation > position.generation:
            change = changelog.changed(connection, position, MOST)
            if change is None:
                self._begin(position.line)
            else:
                self._tell(change, position)
        self._behind_since = None
        if self._told.due(self._after) and not (self._snapshot and self._snapshot.is_alive()):
            self._forget(connection)
            self._snapshot = threading.Thread(target=self._take_snapshot, args=(self._position,), name="snapshot", daemon=True)
            self._told = Told(size=self._told.size)
            self._snapshot.start()

    def _begun(self, generation: int) -> Position | None:
        """Where this catalogue was, when it is still what was announced last; else None."""
        head, local = self._head(), remembered(self._state_dir / PUBLISHED, self._objects.url)
        if not head or not local or head.line != local.line or not local.generation <= head.generation <= generation:
            return None
        told = [stored.bytes for stored in self._objects.list(f"{CHANGES}{head.line}/")]
        self._position, self._told = head, Told(len(told), sum(told))
        return head

    def _agreed(self, position: Position) -> Position | None:
        """The announced position, which is the one that this publisher reached, or tried to when it got no answer."""
        head = self._head()
        if head is not None and head not in (position, self._tried):
            raise PublisherReplaced(
                f"Another writer published generation {head.generation} of the line {head.line} to {self._objects.url}; "
                "this one publishes no more. Stop one of them, and restart the one that shall publish."
            )
        self._position = head
        return head

    def _head(self) -> Position | None:
        try:
            return announced(self._objects)
        except (ObjectMissing, Damaged, Foreign):
            return None

    def _tell(self, change: changelog.Change, position: Position) -> None:
        content = changelog.to_bytes(change, position)
        self._objects.put(position.next_change, content)
        self._reach(Position(position.line, change.generation, change.watermark, hashlib.sha256(content).hexdigest()))
        self._told.changes += 1
        self._told.bytes += len(content)

    def _begin(self, line: str) -> None:
        """Lets readers begin anew from a snapshot of now."""
        manifest = take(self._state_dir, self._objects.url, line=line)
        assert manifest.follows is not None
        self._reach(manifest.follows)
        self._told = Told(size=manifest.size)
        LOG.info("line_begun", line=line, generation=manifest.generation, snapshot=manifest.name)
        self._prune()

    def _reach(self, position: Position) -> None:
        self._tried = position
        announce(self._objects, position)
        self._position = position
        remember(self._state_dir / PUBLISHED, self._objects.url, position)

    def _forget(self, connection: sqlite3.Connection) -> None:
        """Lets go of news that was published."""
        if self._position is not None:
            changelog.forget(connection, self._position.generation)

    def _take_snapshot(self, follows: Position) -> None:
        try:
            manifest = take(self._state_dir, self._objects.url, follows=follows)
            self._told.size = manifest.size
            self._failed_snapshots = 0
            LOG.info("snapshot_taken", snapshot=manifest.name, generation=manifest.generation, bytes=manifest.size)
            self._prune()
        except (RetrieverError, OSError) as error:
            self._failed_snapshots += 1
            LOG.warning("snapshot_failed", reason=str(error))  # the next one is due after as many changes

    def _prune(self) -> None:
        """Clears old snapshots away, and changes that no snapshot needs. A failure leaves them for the next time."""
        try:
            kept = [manifest.follows for manifest in prune(self._objects, self._keep) if manifest.follows]
            lines = {position.line for position in kept}
            first = {line: min(position.next_change for position in kept if position.line == line) for line in lines}
            changes = [stored.name for stored in self._objects.list(CHANGES)]
            self._objects.delete(name for name in changes if name < first.get(name.split("/")[1], "~"))
        except RetrieverError as error:
            LOG.warning("snapshots_not_pruned", reason=str(error))

    def _run(self) -> None:
        failure = ""
        while True:
            last = self._stop.wait(self._every_s)
            try:
                self.step()
                failure = ""
            except PublisherReplaced as error:
                LOG.error("publishing_ended", reason=str(error))
                return
            except Exception as error:  # whatever it is, what is committed later has to be published too
                if type(error).__name__ != failure:
                    LOG.warning("publishing_failed", error=type(error).__name__, reason=str(error))
                failure = type(error).__name__
            if last:
                return
