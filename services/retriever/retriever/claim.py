"""Holds the state folder for one process. Knows nothing of what lies in it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from retriever.errors import FolderTaken, StorageFailed

LOCK = "lock"


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """The folder is this process's inside; raises `FolderTaken` at once while another one has it, `StorageFailed` when it is read-only.

    Two retrievers on one folder would each keep an index that lacks the other's writes. The system lets go of the lock when the process
    ends, however it ends, so a file that was left behind holds nobody up.
    """
    with _opened(folder) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise FolderTaken(
                f"{folder} is used by another retriever (process {lock.read().strip() or 'unknown'}); "
                "stop that one first, or give this one a folder of its own with RETRIEVER_STATE_DIR."
            ) from None
        lock.truncate(0)
        with suppress(OSError):  # a full disk; the lock holds without the number
            os.write(lock.fileno(), str(os.getpid()).encode())
        yield


def _opened(folder: Path) -> TextIO:
    try:
        return (folder / LOCK).open("a+")
    except OSError as error:
        raise StorageFailed(
            f"{folder} can not be written ({error.strerror}); make it writable, or name another folder with RETRIEVER_STATE_DIR."
        ) from error
