"""Puts a snapshot from object storage into a state folder. Knows nothing of how it was taken, nor of who will serve it."""

import os
import shutil
from pathlib import Path

from retriever.claim import LOCK, held
from retriever.errors import Damaged, FolderNotEmpty, ObjectMissing
from retriever.manifest import CATALOGUE, FILES, LATEST, SEALED, SEGMENTS, SNAPSHOTS, Manifest, object_of
from retriever.segments.entry import FileEntry
from retriever.storage import Objects

RESTORING = "restoring"
"""The folder inside the state folder for what is under way."""


def names(objects: Objects) -> list[str]:
    """Of all snapshots, the oldest first."""
    found = [stored.name.removeprefix(SNAPSHOTS) for stored in objects.list(SNAPSHOTS)]
    return sorted(name.removesuffix("/manifest") for name in found if name.endswith("/manifest"))


def read(objects: Objects, name: str) -> Manifest:
    """The manifest of a snapshot, or of the newest with `latest`. Raises ObjectMissing, Damaged, Foreign."""
    if name == LATEST:
        if not (known := names(objects)):
            raise ObjectMissing(f"There is no snapshot under {objects.url}; take one first, or correct the URL.")
        name = known[-1]
    return Manifest.from_bytes(name, objects.get(object_of(name)))


def verify(objects: Objects, manifest: Manifest, folder: Path) -> None:
    """Reads every file of a snapshot into `folder` and keeps none. Raises Damaged, naming the first that is not as it was taken."""
    for path, file in manifest.files.items():
        _download(objects, path, file, folder / "verified")
        (folder / "verified").unlink()


def restore(url: str, name: str, state_dir: Path) -> Manifest:
    """Puts a snapshot (or the `latest`) into the empty folder `state_dir`.

    Everything is downloaded aside and verified first; then the catalogue, which is what makes a folder hold something, is renamed into
    place, and the list of its segments last. Raises FolderNotEmpty, FolderTaken, ObjectMissing, Damaged, Foreign, StorageAway.
    """
    objects = Objects(url)
    state_dir.mkdir(parents=True, exist_ok=True)
    with held(state_dir):
        _check_empty(state_dir)
        manifest = read(objects, name)
        aside = state_dir / RESTORING
        shutil.rmtree(state_dir / SEGMENTS, ignore_errors=True)
        shutil.rmtree(aside, ignore_errors=True)
        for path, file in manifest.files.items():
            (aside / path).parent.mkdir(parents=True, exist_ok=True)
            _download(objects, path, file, aside / path)
        for path in sorted(manifest.files, key=lambda path: (path == SEALED, path == CATALOGUE)):
            (state_dir / path).parent.mkdir(parents=True, exist_ok=True)
            (aside / path).replace(state_dir / path)
            _sync((state_dir / path).parent)
        shutil.rmtree(aside)
    return manifest


def _download(objects: Objects, path: str, file: FileEntry, to: Path) -> None:
    try:
        objects.download(FILES + file.sha256, to)
    except ObjectMissing as error:
        raise Damaged(f"The snapshot is incomplete: its file {path} ({FILES}{file.sha256}) is missing under {objects.url}.") from error
    found = FileEntry.of(to)
    if found != file:
        to.unlink()
        raise Damaged(
            f"The snapshot's file {path} ({FILES}{file.sha256}) is damaged: it has {found.bytes} bytes of SHA-256 {found.sha256[:12]}..., "
            f"its manifest says {file.bytes} bytes of {file.sha256[:12]}...; restore another snapshot. Nothing was put in place."
        )
    _sync(to)


def _check_empty(state_dir: Path) -> None:
    """What an interrupted restoring left behind does not count."""
    interrupted = (state_dir / RESTORING).exists() and not (state_dir / CATALOGUE).exists()
    ours = {LOCK, RESTORING, "lost+found"} | ({SEGMENTS} if interrupted else set())
    if others := sorted(path.name for path in state_dir.iterdir() if path.name not in ours):
        raise FolderNotEmpty(f"{state_dir} holds {', '.join(others[:5])}; restore into an empty folder.")


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
