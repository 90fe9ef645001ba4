"""Takes snapshots of a state folder to object storage and clears old ones away. Knows nothing of who serves from the folder."""

import argparse
import secrets
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from retriever.copying import copied
from retriever.errors import RetrieverError
from retriever.manifest import FILES, LATEST, Manifest, new_name, object_of
from retriever.position import PUBLISHED, Position, remembered
from retriever.recovery import caught_up
from retriever.restoration import names, read, restore, verify
from retriever.segments.entry import FileEntry
from retriever.settings import Settings
from retriever.storage import Objects
from servicekit import settings

UNNAMED_S = 24 * 3600
"""A file in storage that no manifest names is kept this long: somebody may be taking a snapshot with it."""
COMMANDS = {
    "take": "copy the folder's present state; a retriever that uses it need not stop",
    "restore": "put a snapshot into the folder, which must be empty",
    "list": "all snapshots, the oldest first",
    "verify": "read every file of a snapshot and check it",
}


def take(state_dir: Path, url: str, *, follows: Position | None = None, line: str = "") -> Manifest:
    """Copies the folder's present state to `url` as a new snapshot.

    `follows` is where its readers go on hearing; with a `line` and no `follows` they do where the copy ends. Raises StorageAway,
    StorageFailed when SQLite can not be copied, FolderTaken while another snapshot of the folder is being taken.
    """
    objects, made_at = Objects(url), datetime.now(UTC)
    with copied(state_dir, line) as copy:
        files = _upload(objects, copy.paths)
    manifest = Manifest(
        name=new_name(copy.position.generation, made_at, secrets.token_hex(2)),
        made_at=made_at.isoformat(timespec="milliseconds"),
        layout=copy.layout,
        generation=copy.position.generation,
        items=copy.items,
        content=copy.content,
        spaces=copy.spaces,
        files=files,
        follows=follows or (copy.position if line else None),
    )
    objects.put(object_of(manifest.name), manifest.to_bytes())
    return manifest


def prune(objects: Objects, keep: int) -> list[Manifest]:
    """Deletes all but the newest `keep` snapshots and the files that only they named; the manifests that stay, the oldest first.

    Raises Damaged or Foreign for a manifest that can not be read: nobody knows then which files it needs.
    """
    known = [read(objects, name) for name in names(objects)]
    kept, others = known[-keep:], known[:-keep]
    objects.delete(object_of(manifest.name) for manifest in others)
    needed, freed = _files(kept), _files(others)
    for stored in objects.list(FILES):
        if stored.name not in needed and (stored.name in freed or time.time() - stored.modified > UNNAMED_S):
            objects.delete([stored.name])
    return kept


def main(arguments: Sequence[str] | None = None) -> None:
    """`python -m retriever.snapshot`: exits with status 1 and the reason when it can not be done."""
    asked = _parser().parse_args(arguments)
    state_dir = settings.load(Settings).state_dir
    try:
        for line in _done(asked, state_dir):
            print(line)
    except (RetrieverError, OSError) as error:
        print(error, file=sys.stderr)
        raise SystemExit(1) from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m retriever.snapshot", description="Snapshots of RETRIEVER_STATE_DIR in object storage.")
    commands = parser.add_subparsers(dest="command", required=True)
    for command, told in COMMANDS.items():
        one = commands.add_parser(command, help=told)
        one.add_argument("url", help="a folder or s3://bucket/prefix")
        if command in ("restore", "verify"):
            one.add_argument("name", nargs="?", default=LATEST, help="of the snapshot; the latest unless given")
        if command == "restore":
            one.add_argument("--with-changes", action="store_true", help="then apply what was published after the snapshot")
        if command == "take":
            one.add_argument("--keep", type=int, default=0, help="then delete all but the newest so many; 0 deletes none")
    return parser


def _done(asked: argparse.Namespace, state_dir: Path) -> Iterator[str]:
    """Does what was asked; lines to print."""
    objects = Objects(asked.url)
    match asked.command:
        case "take":
            yield _told(take(state_dir, asked.url, follows=remembered(state_dir / PUBLISHED, asked.url)))
            if asked.keep > 0:
                prune(objects, asked.keep)
        case "restore":
            manifest = restore(asked.url, asked.name, state_dir)
            yield _told(manifest)
            if asked.with_changes:
                yield f"changes applied up to generation {caught_up(state_dir, objects, manifest)}"
        case "verify":
            manifest = read(objects, asked.name)
            with tempfile.TemporaryDirectory() as folder:
                verify(objects, manifest, Path(folder))
            yield _told(manifest)
        case "list":
            yield from (_told(read(objects, name)) for name in names(objects))


def _told(manifest: Manifest) -> str:
    return f"{manifest.name}  generation {manifest.generation}  {manifest.items} items  {manifest.size} bytes"


def _files(manifests: Iterable[Manifest]) -> set[str]:
    return {FILES + file.sha256 for manifest in manifests for file in manifest.files.values()}


def _upload(objects: Objects, paths: Mapping[str, Path]) -> dict[str, FileEntry]:
    """Sends what is not there yet. A file that is there with another size was cut off by a storage that has no renaming."""
    there = {stored.name: stored.bytes for stored in objects.list(FILES)}
    files = {path: FileEntry.of(local) for path, local in paths.items()}
    for path, file in files.items():
        if there.get(FILES + file.sha256) != file.bytes:
            objects.upload(paths[path], FILES + file.sha256)
    return files


if __name__ == "__main__":
    main()
