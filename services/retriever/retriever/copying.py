"""Copies the state folder of a live retriever aside, all of one moment. Knows nothing of where the copy goes.

SQLite's online backup copies one committed state while writes go on, and sealed segments never change. They are listed before the
catalogue is copied, so none holds a version that the copy has not given out yet.
"""

import json
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retriever import changelog
from retriever.claim import LOCK, held
from retriever.errors import FolderTaken, StorageFailed
from retriever.manifest import CATALOGUE, SEALED, SEGMENTS
from retriever.position import Position
from servicekit import logs

TAKING = "taking"
"""The folder inside the state folder for what is under way."""
TRIES, PAUSE_S = 5, 0.2
"""To list and hold the sealed segments while a merge replaces them."""
LOG = logs.get(__name__)


@dataclass(frozen=True)
class Copied:
    """The copied files by their paths in the state folder, and what the catalogue among them says of itself."""

    paths: dict[str, Path]
    position: Position
    layout: int
    items: int
    content: str | None
    spaces: tuple[changelog.SpaceRow, ...]


@contextmanager
def copied(state_dir: Path, line: str) -> Iterator[Copied]:
    """The folder's present state, until the end of the block; `line` is that of its position.

    Raises StorageFailed when SQLite can not be copied, FolderTaken while another copy of the folder is under way.
    """
    with _aside(state_dir / TAKING) as aside:
        paths = _hold_segments(state_dir, aside)
        _back_up(state_dir / CATALOGUE, aside / CATALOGUE)
        yield _read({CATALOGUE: aside / CATALOGUE, **paths}, line)


@contextmanager
def _aside(folder: Path) -> Iterator[Path]:
    """An empty folder of one taker at a time; what one that was killed left behind goes."""
    folder.mkdir(exist_ok=True)
    with ExitStack() as stack:
        try:
            stack.enter_context(held(folder))
        except FolderTaken:
            raise FolderTaken(f"Another snapshot of {folder.parent} is being taken; wait until it is there.") from None
        _empty(folder)
        stack.callback(_empty, folder)
        yield folder


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()


def _hold_segments(state_dir: Path, aside: Path) -> dict[str, Path]:
    """Links the sealed files and their list aside, where no merge removes them; by their paths in the state folder."""
    for _ in range(TRIES):
        try:
            listed = (state_dir / SEALED).read_bytes()
        except FileNotFoundError:
            return {}
        try:
            found = {SEALED: aside / SEALED}
            (aside / SEGMENTS).mkdir(exist_ok=True)
            (aside / SEALED).write_bytes(listed)
            for name in _named_files(json.loads(listed)):
                path = f"{SEGMENTS}/{name}"
                found[path] = _link(state_dir / path, aside / path)
            return found
        except FileNotFoundError:
            shutil.rmtree(aside / SEGMENTS)
            time.sleep(PAUSE_S)
    LOG.warning("snapshot_without_segments", state_dir=str(state_dir))  # they are derived: whoever restores builds them again
    return {}


def _named_files(listed: Any) -> Iterator[str]:
    """The names of all files in the list of segments, wherever in it they stand."""
    if isinstance(listed, dict):
        files = listed.get("files")
        if isinstance(files, dict):
            yield from files
        for value in listed.values():
            yield from _named_files(value)
    elif isinstance(listed, list):
        for value in listed:
            yield from _named_files(value)


def _link(path: Path, to: Path) -> Path:
    to.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(path, to)
    except FileNotFoundError:
        raise
    except OSError:  # a file system without hard links
        shutil.copyfile(path, to)
    return to


def _back_up(path: Path, to: Path) -> None:
    """One step, so that a write in between does not begin it anew; other connections write on."""
    if not path.exists():
        raise StorageFailed(f"{path} is not there; give the state_dir of a retriever that ran.")
    try:
        with closing(sqlite3.connect(path, timeout=10)) as source, closing(sqlite3.connect(to)) as copy:
            source.backup(copy, pages=-1)
            copy.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as error:
        raise StorageFailed(f"{path} could not be copied ({error}); check the disk of state_dir.") from error


def _read(paths: dict[str, Path], line: str) -> Copied:
    with closing(sqlite3.connect(paths[CATALOGUE], isolation_level=None)) as copy:
        spaces = changelog.spaces_of(copy)
        content, _ = changelog.roles_of(copy, spaces)
        return Copied(
            paths=paths,
            position=Position(line, changelog.generation_of(copy), changelog.watermark_of(copy)),
            layout=int(copy.execute("PRAGMA user_version").fetchone()[0]),
            items=int(copy.execute("SELECT count(*) FROM items").fetchone()[0]),
            content=content,
            spaces=tuple(spaces.values()),
        )
