"""A real PostgreSQL server of the tests' own, which they may kill, freeze and start again. Knows nothing of what is stored in it."""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

PASSWORD = "never-to-be-logged"
USER = "warmstart"
ATTEMPTS_S = 30


def programs() -> Path | None:
    """The folder of `initdb` and `postgres` of the newest version installed; None when there is none."""
    packaged = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    found = packaged[-1] if packaged else shutil.which("postgres")
    return Path(found).resolve().parent if found else None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """PostgreSQL on a free port of 127.0.0.1, in a folder that is removed at the end; as user `postgres` where the tests run as root."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self._programs, self._folder, self._port = programs, folder, free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._as: dict[str, Any] = {"cwd": folder}
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
            self._as |= {"user": "postgres", "group": "postgres", "extra_groups": ()}

    def create(self) -> None:
        """Makes the data folder."""
        (password := self._folder / "password").write_text(PASSWORD)
        password.chmod(0o644)
        options = [f"--pgdata={self._folder / 'data'}", f"--pwfile={password}", "--auth=scram-sha-256", "--encoding=UTF8", "--no-locale"]
        subprocess.run([str(self._programs / "initdb"), *options, f"--username={USER}"], check=True, stdout=subprocess.DEVNULL, **self._as)

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{self._port}/{database}"

    def start(self) -> None:
        """Returns when it takes connections. What a killed server left behind may refuse the first attempts."""
        deadline = time.monotonic() + ATTEMPTS_S
        while True:
            if self._process is None or self._process.poll() is not None:
                options = [
                    "-D",
                    str(self._folder / "data"),
                    "-h",
                    "127.0.0.1",
                    "-p",
                    str(self._port),
                    "-k",
                    "",
                    "-c",
                    "log_min_messages=fatal",
                ]
                program = str(self._programs / "postgres")
                self._process = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **self._as)
            try:
                psycopg.connect(self.url(), connect_timeout=2).close()
                return
            except psycopg.OperationalError:
                assert time.monotonic() < deadline, "PostgreSQL did not start"
                time.sleep(0.05)

    def end(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stops it: SIGINT ends every connection and shuts down, SIGQUIT leaves out the checkpoint, SIGKILL is a crash."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait()
            self._process = None

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Every process of it stands still: it neither answers nor hangs up."""
        assert self._process is not None
        own = self._process.pid
        processes = [own, *map(int, Path(f"/proc/{own}/task/{own}/children").read_text().split())]
        for process in processes:
            os.kill(process, signal.SIGSTOP)
        try:
            yield
        finally:
            for process in processes:
                os.kill(process, signal.SIGCONT)

    def database(self) -> str:
        """The URL of a new, empty database."""
        name = f"d{secrets.token_hex(8)}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self.url(name)


@contextlib.contextmanager
def running(programs: Path) -> Iterator[Server]:
    """A server that is gone, with all it stored, when the block ends."""
    folder = Path(tempfile.mkdtemp(prefix="warmstart-postgresql-"))
    server = Server(folder, programs)
    try:
        server.create()
        server.start()
        yield server
    finally:
        server.end(signal.SIGQUIT)  # at once: what it stored is deleted anyway
        shutil.rmtree(folder)
