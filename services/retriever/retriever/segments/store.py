"""The folder of derived files and its manifest. Knows nothing of what is in the files, and loses nothing: all of it can be built again.

The manifest is written aside and renamed after the files it names are on the disk, and before those it no longer names are removed. Files
that it does not name are left-overs of a kill. Its own SHA-256 stands in it, for a flipped bit can make one number of JSON another.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from retriever.segments.entry import Entry, FileEntry, SegmentDamaged
from retriever.segments.sealed import Sealed
from servicekit import logs

FORMAT = 1
MANIFEST = "manifest.json"
DAMAGED = object()
LOG = logs.get(__name__)


@dataclass(frozen=True)
class BaseEntry:
    """The file `name` of the folder is a saved base of attributes, of everything up to `generation`."""

    generation: int
    name: str
    file: FileEntry

    def to_json(self) -> dict[str, Any]:
        return {"generation": self.generation, "files": {self.name: {"bytes": self.file.bytes, "sha256": self.file.sha256}}}

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Self:
        """Raises ValueError, KeyError or TypeError for anything else than `to_json` gives."""
        ((name, file),) = said["files"].items()
        if Path(name).name != name or not name.startswith("attributes-"):
            raise ValueError(f"{name!r} is not the name of a base of attributes")
        return cls(int(said["generation"]), name, FileEntry(int(file["bytes"]), str(file["sha256"])))


@dataclass(frozen=True)
class Manifest:
    """`generation` is the catalogue's when this was written; `segments` by the number of their space."""

    generation: int = 0
    segments: Mapping[int, Sequence[Entry]] = field(default_factory=dict)
    base: BaseEntry | None = None

    def to_json(self) -> dict[str, Any]:
        segments = [{"space": space, **entry.to_json()} for space, entries in self.segments.items() for entry in entries]
        said = {"format": FORMAT, "generation": self.generation, "segments": segments, "attributes": self.base and self.base.to_json()}
        return {**said, "sha256": _digest(said)}

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Self:
        """Raises SegmentDamaged for anything that `to_json` did not give."""
        try:
            if said["format"] != FORMAT:
                raise SegmentDamaged(f"the manifest has the format {said['format']!r}, this retriever reads {FORMAT}")
            if said["sha256"] != _digest({name: value for name, value in said.items() if name != "sha256"}):
                raise SegmentDamaged(f"the manifest is not what its SHA-256 {str(said['sha256'])[:12]}... says")
            segments: dict[int, list[Entry]] = {}
            for line in said["segments"]:
                segments.setdefault(int(line["space"]), []).append(Entry.from_json(line))
            base = BaseEntry.from_json(said["attributes"]) if said["attributes"] else None
            return cls(int(said["generation"]), segments, base)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise SegmentDamaged(f"the manifest is not one of segments ({error!r})") from error

    @property
    def files(self) -> set[str]:
        named = {name for entries in self.segments.values() for entry in entries for name in entry.files}
        return named | ({self.base.name} if self.base else set())


class SegmentStore:
    """The folder; one process at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = Manifest()

    def open(self, generation: int) -> tuple[dict[int, list[Sealed]], BaseEntry | None]:
        """All segments of the manifest whose files are sound, by space, and the base of attributes likewise.

        What is damaged is left out and told in the log, and so is everything when the manifest is from a later `generation` than the
        catalogue's: then the catalogue was put back from a copy. Files that nothing names are removed.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        manifest = self._read(generation)
        sound: dict[int, list[Sealed]] = {}
        kept: dict[int, list[Entry]] = {}
        for space, entries in manifest.segments.items():
            for entry in entries:
                if (segment := _sound(Sealed.open, self.folder, entry)) is not DAMAGED:
                    sound.setdefault(space, []).append(segment)
                    kept.setdefault(space, []).append(entry)
        base = manifest.base
        if base is not None and _sound(base.file.verify, self.folder / base.name) is DAMAGED:
            base = None
        self.manifest = Manifest(generation, kept, base)
        self._sweep()
        return sound, base

    def replace(self, space: int, lo: int, hi: int, entry: Entry | None, generation: int) -> None:
        """Puts `entry` in the place of the segments of `space` within [lo, hi)."""
        others = [one for one in self.manifest.segments.get(space, ()) if not lo <= one.lo < hi]
        segments = {**self.manifest.segments, space: [*others, *([entry] if entry else [])]}
        self._write(Manifest(generation, segments, self.manifest.base))

    def replace_base(self, base: BaseEntry, generation: int) -> None:
        self._write(Manifest(generation, self.manifest.segments, base))

    def keep(self, los: Mapping[int, set[int]]) -> None:
        """Leaves of each space in `los` the segments that begin at one of these, and of other spaces none.

        A disk that takes no more is told in the log only, for what is in memory is right: the next start leaves the same out.
        """
        segments = {space: [entry for entry in self.manifest.segments.get(space, ()) if entry.lo in kept] for space, kept in los.items()}
        try:
            self._write(replace(self.manifest, segments={space: kept for space, kept in segments.items() if kept}))
        except OSError as error:
            LOG.warning("segments_not_cleared", reason=str(error))

    def forget(self, space: int) -> None:
        """Removes all segments of a dropped space."""
        self._write(replace(self.manifest, segments={of: entries for of, entries in self.manifest.segments.items() if of != space}))

    def discard(self, names: Iterable[str]) -> None:
        """Removes files that were built and are not put in place."""
        for name in set(names) - self.manifest.files:
            (self.folder / name).unlink(missing_ok=True)

    def _read(self, generation: int) -> Manifest:
        if not (self.folder / MANIFEST).exists():
            return Manifest()
        manifest = _sound(_manifest_of, self.folder / MANIFEST, generation)
        return Manifest() if manifest is DAMAGED else manifest

    def _write(self, manifest: Manifest) -> None:
        aside = self.folder / f"{MANIFEST}.part"
        with aside.open("w") as file:
            json.dump(manifest.to_json(), file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        aside.rename(self.folder / MANIFEST)
        directory = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
        gone, self.manifest = self.manifest.files - manifest.files, manifest
        for name in gone:
            (self.folder / name).unlink(missing_ok=True)

    def _sweep(self) -> None:
        for path in self.folder.iterdir():
            if path.is_file() and path.name != MANIFEST and path.name not in self.manifest.files:
                path.unlink(missing_ok=True)


def _digest(said: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _manifest_of(path: Path, generation: int) -> Manifest:
    try:
        manifest = Manifest.from_json(json.loads(path.read_bytes()))
    except (ValueError, OSError) as error:
        raise SegmentDamaged(f"{path.name} can not be read ({error})") from error
    if manifest.generation > generation:
        raise SegmentDamaged(f"{path.name} is of generation {manifest.generation}, the catalogue has {generation}")
    return manifest


def _sound(read: Callable[..., Any], *of: Any) -> Any:
    """What `read` gives, or DAMAGED, which is then told in the log."""
    try:
        return read(*of)
    except SegmentDamaged as damage:
        LOG.warning("segment_damaged", reason=str(damage))
        return DAMAGED
