"""Finished cells as lines of JSON, so that a sweep that was cut off goes on. Knows nothing of what a cell means."""

import fcntl
import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from pipelines.sweep.faults import JournalRefused
from pipelines.sweep.runs import Run


class Journal:
    """The journal at `path`; a context manager. Only one run holds it at a time, raises `JournalRefused` otherwise.

    A line is flushed to the disk before `add` returns. A last line that was cut off is dropped.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._runs: dict[str, Run] = {}
        self._file: BinaryIO | None = None

    def find(self, key: dict[str, Any]) -> Run | None:
        """The last run of this cell that answered anything."""
        return self._runs.get(_text(key))

    def add(self, key: dict[str, Any], run: Run) -> None:
        assert self._file is not None
        self._file.write(json.dumps({"cell": key, "run": run.document()}).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self._keep(key, run)

    def _keep(self, key: dict[str, Any], run: Run) -> None:
        if run.answers:
            self._runs[_text(key)] = run

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("a+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._resume(self._file)
        except BlockingIOError:
            self._file.close()
            raise JournalRefused(f"Another sweep is writing {self.path}; wait for it or name another --out.") from None
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._file is not None:
            self._file.close()

    def _resume(self, file: BinaryIO) -> None:
        file.seek(0)
        held = file.read()
        whole = held[: held.rfind(b"\n") + 1]
        for place, line in enumerate(whole.splitlines(), 1):
            try:
                row = json.loads(line)
                self._keep(row["cell"], Run.of(row["run"]))
            except (ValueError, LookupError, TypeError) as error:
                raise JournalRefused(
                    f"{self.path}, line {place} is no cell of a sweep ({error}); remove it or name another --out."
                ) from None
        if len(whole) < len(held):
            file.truncate(len(whole))


def _text(key: dict[str, Any]) -> str:
    return json.dumps(key, sort_keys=True)
