"""Holds the state folder for one process. Knows nothing of what lies in it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from retriever.errors import FolderTaken

LOCK = "lock"


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """The folder is this process's inside; raises `FolderTaken` at once while another one has it.

    Two retrievers on one folder would each keep an index that lacks the other's writes. The system lets go of the lock when the process
    ends, however it ends, so a file that was left behind holds nobody up.
    """
    with (folder / LOCK).open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise FolderTaken(
                f"{folder} is used by another retriever (process {lock.read().strip() or 'unknown'}); "
                "stop that one first, or give this one a folder of its own with RETRIEVER_STATE_DIR."
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
