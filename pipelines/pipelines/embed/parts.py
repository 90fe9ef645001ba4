"""Embeddings of a file that is being embedded, kept in parts until all are there. Knows no encoder and no format of the output.

A folder holds the parts, a manifest that names them, and a lock. A part is written aside, flushed to the disk and renamed, and only then
named by the manifest, which is replaced in the same way: whatever is killed when, every row that the manifest counts is whole.
"""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from pipelines.embed.faults import ResumeRefused

MANIFEST, LOCK = "manifest.json", "lock"


@dataclass(frozen=True)
class Origin:
    """What embeddings are of: equal origins give interchangeable files."""

    input_sha256: str
    id_field: str
    text_fields: tuple[str, ...]
    skip_unusable: bool
    rows: int
    fingerprint: str
    dimension: int

    def json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, text: str) -> Self:
        values = json.loads(text)
        return cls(**values | {"text_fields": tuple(values["text_fields"])})

    def differences(self, other: Self) -> str:
        """Such as `fingerprint a -> b`; nothing for equal ones."""
        mine, theirs = asdict(self), asdict(other)
        return ", ".join(f"{name} {mine[name]!r} -> {theirs[name]!r}" for name in mine if mine[name] != theirs[name])


class Parts:
    """The parts in `folder`, which is made when it is not there; a context manager that holds the lock.

    Raises `ResumeRefused` when another run holds it, or what is there has another origin or is damaged.
    """

    def __init__(self, folder: Path, origin: Origin) -> None:
        self.folder, self.origin = folder, origin
        self._parts: list[dict[str, Any]] = []

    @property
    def rows(self) -> int:
        """How many are done."""
        return sum(part["rows"] for part in self._parts)

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = (self.folder / LOCK).open("ab")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._resume()
        except BlockingIOError:
            self._lock.close()
            raise ResumeRefused(f"Another run is writing {self.folder}; wait for it or name another output.") from None
        except BaseException:
            self._lock.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.close()

    def add(self, ids: Sequence[str], embeddings: NDArray[np.float32]) -> None:
        """Keeps the next rows for good: `len(ids)` ids and `(len(ids), dim)` embeddings."""
        name = f"part-{len(self._parts):06}.npz"
        written(self.folder / name, lambda file: np.savez(file, ids=np.array(ids), embeddings=embeddings))
        self._parts.append({"file": name, "rows": len(ids), "sha256": _sha256(self.folder / name)})
        manifest = {"origin": asdict(self.origin), "rows": self.rows, "parts": self._parts}
        written(self.folder / MANIFEST, lambda file: file.write(json.dumps(manifest, indent=1).encode()))

    def __iter__(self) -> Iterator[tuple[NDArray[np.str_], NDArray[np.float32]]]:
        """Ids `(n,)` and embeddings `(n, dim)` of every part, in order; one is in memory at a time."""
        for part in self._parts:
            with np.load(self.folder / part["file"]) as held:
                yield held["ids"], held["embeddings"]

    def remove(self) -> None:
        """Deletes the folder, which is of no more use once the output is whole."""
        shutil.rmtree(self.folder)

    def _resume(self) -> None:
        manifest = self.folder / MANIFEST
        if not manifest.exists():
            return
        try:
            held = json.loads(manifest.read_text())
            origin = Origin.parse(json.dumps(held["origin"]))
        except (ValueError, KeyError, TypeError) as error:
            raise ResumeRefused(f"{manifest} is damaged ({error}); delete {self.folder} to begin anew.") from error
        if changed := origin.differences(self.origin):
            raise ResumeRefused(
                f"{self.folder} was begun with something else ({changed}); go on with the former, or delete the folder to begin anew."
            )
        for part in held["parts"]:
            path = self.folder / part["file"]
            if not path.exists() or _sha256(path) != part["sha256"]:
                raise ResumeRefused(f"{path} is damaged or gone; delete {self.folder} to begin anew.")
        self._parts = held["parts"]


def written(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Writes a whole file aside, flushes it to the disk and puts it in its place at once."""
    aside = path.with_name(path.name + ".aside")
    with aside.open("wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
