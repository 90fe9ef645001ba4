"""A real Redis or Valkey server of the tests' own, to be killed, frozen, filled and started again. Knows nothing of what is kept in it."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import redis

PASSWORD = "never-to-be-logged"
START_S = 30


def program() -> Path | None:
    """`redis-server` or `valkey-server`; None when neither is installed."""
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    return Path(found) if found else None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A server on a free port of 127.0.0.1 that writes nothing to disk: when it ends, all that it kept is gone."""

    def __init__(self, program: Path, folder: Path, *options: str) -> None:
        self._program, self._folder, self._options, self.port = program, folder, options, free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"

    def client(self) -> redis.Redis:
        """A client of the test's own, which waits as long as it takes."""
        return redis.Redis(port=self.port, password=PASSWORD, socket_timeout=START_S, protocol=2)

    def start(self) -> None:
        """Returns when it answers."""
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder), "--save", "", "--appendonly", "no"]
        command = [str(self._program), *options, "--requirepass", PASSWORD, *self._options]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + START_S
        with self.client() as client:
            while True:
                try:
                    client.ping()
                    return
                except redis.ConnectionError:
                    assert time.monotonic() < deadline, "the server did not start"
                    assert self._process.poll() is None, "the server ended at once"
                    time.sleep(0.02)

    def end(self, how: signal.Signals = signal.SIGKILL) -> None:
        """Kills it, or ends it otherwise; the port stays its own."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait()
            self._process = None

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """It stands still: it neither answers nor hangs up."""
        assert self._process is not None
        own = self._process.pid
        os.kill(own, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(own, signal.SIGCONT)

    @contextlib.contextmanager
    def full(self) -> Iterator[None]:
        """Its memory is full, and it gives up nothing to make room."""
        with self.client() as client:
            client.config_set("maxmemory-policy", "noeviction")
            client.config_set("maxmemory", 1)
            try:
                yield
            finally:
                client.config_set("maxmemory", 0)


@contextlib.contextmanager
def running(program: Path, *options: str) -> Iterator[Server]:
    """A server that is gone when the block ends; `options` as on its command line."""
    folder = Path(tempfile.mkdtemp(prefix="warmstart-redis-"))
    server = Server(program, folder, *options)
    try:
        server.start()
        yield server
    finally:
        server.end()
        shutil.rmtree(folder)
