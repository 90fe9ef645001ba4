"""One line of the manifest: which files a sealed segment consists of. Knows nothing of what is in them."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from retriever.errors import RetrieverError


class SegmentDamaged(RetrieverError):
    """A file of a sealed segment is missing, torn or not its own; the segment is rebuilt from SQLite."""


@dataclass(frozen=True)
class FileEntry:
    """Size in bytes and SHA-256 in hexadecimal."""

    bytes: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> Self:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return cls(path.stat().st_size, digest)

    def verify(self, path: Path) -> None:
        """Reads the whole file. Raises SegmentDamaged naming the file and what is wrong with it."""
        try:
            size = path.stat().st_size
            if size != self.bytes:
                raise SegmentDamaged(f"{path.name} has {size} bytes, its manifest says {self.bytes}; the segment must be built again")
            digest = FileEntry.of(path).sha256
        except OSError as error:
            raise SegmentDamaged(f"{path.name} can not be read ({error.strerror}); the segment must be built again") from error
        if digest != self.sha256:
            raise SegmentDamaged(
                f"{path.name} has SHA-256 {digest[:12]}..., its manifest says {self.sha256[:12]}...; the segment must be built again"
            )


@dataclass(frozen=True)
class Entry:
    """A sealed segment of `kind` with `rows` vectors of the versions `lo` <= version < `hi`; `files` by their names in the folder."""

    name: str
    kind: str
    lo: int
    hi: int
    rows: int
    files: Mapping[str, FileEntry]

    def to_json(self) -> dict[str, Any]:
        files = {name: {"bytes": file.bytes, "sha256": file.sha256} for name, file in sorted(self.files.items())}
        return {"name": self.name, "kind": self.kind, "lo": self.lo, "hi": self.hi, "rows": self.rows, "files": files}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Raises SegmentDamaged when `value` is not what `to_json` gives, or names a file outside its folder."""
        try:
            files = {str(name): FileEntry(int(file["bytes"]), str(file["sha256"])) for name, file in value["files"].items()}
            entry = cls(str(value["name"]), str(value["kind"]), int(value["lo"]), int(value["hi"]), int(value["rows"]), files)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise SegmentDamaged(f"{value!r:.200} is not the manifest line of a segment: {error!r}") from error
        for name in files:
            if not name.startswith(f"{entry.name}.") or Path(name).name != name:
                raise SegmentDamaged(f"{name!r} is not a file of segment {entry.name!r}; the manifest is damaged or foreign")
        return entry
