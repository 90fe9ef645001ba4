"""A disk that can be full or read-only, whoever runs the tests. Knows nothing of what is stored on it.

As root it is a small file system in memory. Otherwise a full disk is a limit on the size of a process's files, and a read-only one has no
right to write.
"""

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SIZE = 24 * 2**20
BLOCK = 4_096


class Mounted:
    """A file system of its own at `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self, pid: int) -> None:
        """Leaves no room."""
        with (self.folder / "ballast").open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(BLOCK))
            except OSError:
                pass

    def free(self, pid: int) -> None:
        (self.folder / "ballast").unlink()

    def allow_writing(self, allowed: bool) -> None:
        subprocess.run(["mount", "-o", f"remount,{'rw' if allowed else 'ro'}", str(self.folder)], check=True)


class Limited:
    """The same for the process `pid` alone: no file of it may grow beyond a page."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self, pid: int) -> None:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (BLOCK, resource.RLIM_INFINITY))

    def free(self, pid: int) -> None:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    def allow_writing(self, allowed: bool) -> None:
        for folder, _, files in os.walk(self.folder):
            for path in (folder, *(os.path.join(folder, name) for name in files)):
                os.chmod(path, (0o700 if path == folder else 0o600) if allowed else (0o500 if path == folder else 0o400))


@contextmanager
def disk(folder: Path) -> Iterator[Mounted | Limited]:
    """An empty disk at `folder`, unmounted after."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        limited = Limited(folder)
        try:
            yield limited
        finally:
            limited.allow_writing(True)
        return
    try:
        yield Mounted(folder)
    finally:
        subprocess.run(["umount", str(folder)], check=True)
