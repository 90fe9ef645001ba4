"""Builds what is derived in a process of its own, so that neither its load on the interpreter nor a crash is felt by searches.

The child is `python -m retriever.builder`; it reads one JSON object per line and answers each with one. It ends when its input does, and
so with its parent, however that ends. Knows nothing of views and of what is due.
"""

import json
import os
import secrets
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

from retriever.attributes import Attributes
from retriever.catalogue import attributes_from
from retriever.errors import BuildFailed
from retriever.segments.build import build
from retriever.segments.files import Aside
from retriever.segments.store import BaseEntry

NICENESS = 15


class Builder:
    """The child process, started when it is needed; one job at a time. The higher its `niceness`, the more it leaves to searches."""

    def __init__(self, niceness: int = NICENESS) -> None:
        self._niceness = niceness
        self._child: subprocess.Popen[bytes] | None = None
        self._closed = False

    def run(self, asked: dict[str, Any]) -> dict[str, Any]:
        """What was built; waits for it. Raises BuildFailed with the child's reason, or when it died."""
        if self._closed:
            raise BuildFailed("The builder is closed; nothing is built any more.")
        if self._child is None or self._child.poll() is not None:
            command = [sys.executable, "-m", "retriever.builder", str(self._niceness)]
            self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        child = self._child
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            child.stdin.write(json.dumps(asked).encode() + b"\n")
            child.stdin.flush()
            line = child.stdout.readline()
        except (OSError, ValueError) as error:
            raise BuildFailed(f"The building process is gone ({error}).") from error
        if not line:
            raise BuildFailed(f"The building process ended with status {child.wait()}; the index stays as it is.")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise BuildFailed(f"The index could not be built ({answer['error']}); it stays as it is. Check the disk of state_dir.")
        return answer

    @property
    def pid(self) -> int | None:
        """Of the child, while there is one."""
        return self._child.pid if self._child and self._child.poll() is None else None

    def rest(self) -> None:
        """Ends the child at once, whatever it is doing: it leaves nothing half behind. The next job starts another."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.wait()
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    pipe.close()

    def close(self) -> None:
        """The same for good."""
        self._closed = True
        self.rest()


def do(asked: dict[str, Any]) -> dict[str, Any]:
    """One job, in the process that calls it."""
    catalogue, folder = Path(asked["catalogue"]), Path(asked["folder"])
    if asked["do"] == "seal":
        names = ("space", "dimension", "kind", "lo", "hi", "threads")
        entry = build(catalogue, folder, *(asked[name] for name in names))
        return {"entry": entry and entry.to_json()}
    return {"entry": build_base(catalogue, folder).to_json()}


def build_base(catalogue: Path, folder: Path) -> BaseEntry:
    """Freezes and saves the attributes of all items, as of one generation."""
    with closing(sqlite3.connect(f"{catalogue.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        (generation,) = reader.execute("SELECT generation FROM meta").fetchone()
        rows = reader.execute("SELECT number, attributes FROM items ORDER BY number")
        base = Attributes.base((number, attributes_from(text)) for number, text in rows)
    with Aside(folder, f"attributes-{generation}-{secrets.token_hex(6)}") as aside:
        aside.write("base", lambda file: base.save(Path(file.name)))
        ((name, file),) = aside.commit().items()
    return BaseEntry(generation, name, file)


def main() -> None:
    """Reads jobs until the input ends."""
    os.nice(int(sys.argv[1]))
    jobs, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints is no answer
    waiting: list[bytes] = []
    arrived = threading.Semaphore(0)

    def listen() -> None:
        for line in jobs:
            waiting.append(line)
            arrived.release()
        os._exit(0)  # the parent is gone

    threading.Thread(target=listen, daemon=True).start()
    while True:
        arrived.acquire()
        try:
            answer = do(json.loads(waiting.pop(0)))
        except Exception as error:  # whatever it is, the parent hears of it and goes on without
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.flush()


if __name__ == "__main__":
    main()
