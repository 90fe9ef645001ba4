"""What a snapshot consists of, and where its parts lie in storage. Knows nothing of how they get there.

Under the URL: `snapshots/<name>/manifest`, written last, so a snapshot without one does not exist; `files/<sha256>`, each content once,
shared by all snapshots; and what a writer tells its readers, `head` and `changes/<line>/<generation>`.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Self

from retriever import schema
from retriever.changelog import SpaceRow
from retriever.errors import Foreign
from retriever.position import Position
from retriever.segments.entry import FileEntry
from retriever.storage import sealed, unsealed

FORMAT = "warmstart-snapshot-1"
CATALOGUE = "catalogue.sqlite3"
SEGMENTS = "segments"
SEALED = f"{SEGMENTS}/manifest.json"
SNAPSHOTS, FILES = "snapshots/", "files/"
LATEST = "latest"
FILE = re.compile(rf"{re.escape(CATALOGUE)}|{SEGMENTS}(/[A-Za-z0-9_][A-Za-z0-9._-]*)+")
SHA256 = re.compile(r"[0-9a-f]{64}")


def object_of(name: str) -> str:
    """Where the manifest of the snapshot `name` lies."""
    return f"{SNAPSHOTS}{name}/manifest"


@dataclass(frozen=True)
class Manifest:
    """`files` by their paths in the state folder; `layout` is the catalogue's; `made_at` is ISO 8601 in UTC.

    `follows` says from where on a reader that restored this has to hear: it may be before `generation`, as changes may be heard twice.
    """

    name: str
    made_at: str
    layout: int
    generation: int
    items: int
    content: str | None
    spaces: Sequence[SpaceRow]
    files: Mapping[str, FileEntry]
    follows: Position | None = None

    @property
    def size(self) -> int:
        """Of all files, in bytes."""
        return sum(file.bytes for file in self.files.values())

    def to_bytes(self) -> bytes:
        return sealed(json.dumps({"format": FORMAT, **asdict(self)}, indent=1).encode())

    @classmethod
    def from_bytes(cls, name: str, content: bytes) -> Self:
        """The manifest of the snapshot `name`. Raises Damaged, or Foreign when this retriever can not read what it describes."""
        where = object_of(name)
        try:
            said = json.loads(unsealed(where, content))
            found = said.pop("format")
        except (ValueError, KeyError, AttributeError) as error:
            raise Foreign(f"{where} is no manifest of a snapshot ({error!r}); give the URL that snapshots were taken to.") from error
        if found != FORMAT:
            raise Foreign(f"{where} has the format {found!r}, this retriever reads {FORMAT!r}; use the version that took it.")
        try:
            manifest = cls(**{**said, **_parts(said)})
        except (TypeError, KeyError, AttributeError) as error:
            raise Foreign(f"{where} has other fields than a {FORMAT} ({error!r}); use the version that took it.") from error
        manifest._check(name, where)
        return manifest

    def _check(self, name: str, where: str) -> None:
        if self.layout > schema.VERSION:
            raise Foreign(
                f"{where} has the layout {self.layout}, this retriever reads up to {schema.VERSION}; use the version that took it."
            )
        if self.name != name:
            raise Foreign(f"{where} is the manifest of the snapshot {self.name!r}; it was copied to where it does not belong.")
        if CATALOGUE not in self.files:
            raise Foreign(f"{where} names no {CATALOGUE}; it is of something else.")
        for path, file in self.files.items():
            if not FILE.fullmatch(path) or ".." in path or not SHA256.fullmatch(file.sha256):
                raise Foreign(f"{where} names the file {path[:200]!r} ({file.sha256[:80]!r}), which no snapshot has; do not trust it.")


def new_name(generation: int, made_at: datetime, mark: str) -> str:
    """Names sort by time; `mark` keeps two of one second apart."""
    return f"{made_at.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}-{generation:012d}-{mark}"


def _parts(said: Mapping[str, Any]) -> dict[str, Any]:
    follows = said.get("follows")
    return {
        "spaces": tuple(SpaceRow(**space) for space in said["spaces"]),
        "files": {path: FileEntry(**file) for path, file in said["files"].items()},
        "follows": Position(**follows) if follows else None,
    }
