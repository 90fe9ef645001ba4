"""How sealed segments lie on disk: written aside and renamed, FAISS indexes mapped. Knows nothing of what is searched.

A FAISS index is written behind as many zero bytes as bring its vectors to a multiple of 64: a mapped array that is not aligned would be
copied by every matrix product.
"""

import mmap
import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import faiss
import numpy as np
from numpy.typing import NDArray

from retriever.segments.entry import FileEntry

ALIGNMENT = 64
GRAPH_PAD = 27
"""In front of an index whose header has 37 bytes."""
CHUNK = 1 << 20


def flat_pad(dimension: int) -> int:
    """Bytes to put in front of a flat index so that its vectors are aligned."""
    return -len(faiss.serialize_index(faiss.IndexFlat(dimension, faiss.METRIC_INNER_PRODUCT))) % ALIGNMENT


class Aside:
    """Files that get their final names together, or none at all: `with Aside(folder) as aside: ...; aside.commit()`."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self._written: dict[str, FileEntry] = {}
        self._final: list[Path] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for suffix in self._written:
            self._aside(suffix).unlink(missing_ok=True)
        if kind is not None:
            for path in self._final:
                path.unlink(missing_ok=True)

    def _aside(self, suffix: str) -> Path:
        return self.folder / f".{self.name}.{suffix}.aside"

    def write(self, suffix: str, write: Callable[[Any], None]) -> None:
        """Calls `write` with the open binary file and brings what it wrote to disk."""
        path = self._aside(suffix)
        self._written[suffix] = FileEntry(0, "")
        with path.open("xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        self._written[suffix] = FileEntry.of(path)

    def commit(self) -> dict[str, FileEntry]:
        """Renames every file to `<name>.<suffix>` and syncs the folder."""
        for suffix in self._written:
            final = self.folder / f"{self.name}.{suffix}"
            self._final.append(final)
            self._aside(suffix).rename(final)
        handle = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        return {f"{self.name}.{suffix}": file for suffix, file in self._written.items()}


def write_index(index: Any, pad: int, flags: int = 0) -> Callable[[Any], None]:
    """For `Aside.write`: `index` behind `pad` zero bytes."""

    def write(file: Any) -> None:
        failed: list[OSError] = []

        def put(chunk: bytes) -> int:
            try:
                return int(file.write(chunk))
            except OSError as error:  # FAISS would turn it into a message without the reason
                failed.append(error)
                raise

        file.write(b"\0" * pad)
        try:
            faiss.write_index(index, faiss.PyCallbackIOWriter(put, CHUNK), flags)  # type: ignore[attr-defined]  # SWIG makes it at import
        except Exception:
            if failed:
                raise failed[0] from None
            raise

    return write


def mapped(path: Path) -> NDArray[np.uint8]:
    """The bytes of a file; it may be unlinked while they are used."""
    return np.memmap(path, np.uint8, "r")


def index_of(mapping: NDArray[np.uint8], pad: int, flags: int = 0) -> Any:
    """The index behind `pad` bytes of `mapping`, which must outlive it."""
    reader = faiss.ZeroCopyIOReader(faiss.swig_ptr(mapping[pad:]), mapping.size - pad)  # type: ignore[attr-defined]  # SWIG makes it
    index = faiss.read_index(reader, flags)
    unload(mapping)  # FAISS copies some parts, and never looks at their pages again
    return index


def unload(mapping: NDArray[Any]) -> None:
    """Gives the pages of a mapped array back; what is asked for again comes from the file."""
    mapped = mapping if isinstance(mapping, np.memmap) else mapping.base
    if isinstance(mapped, np.memmap) and mapped.size:
        mapped._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]  # numpy keeps it there
