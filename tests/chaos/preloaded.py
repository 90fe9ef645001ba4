"""Starts a module's `python -m` in a process forked from one that has imported the retriever already: starting takes a tenth of the time.

What runs is the module itself, in a process of its own, with its own environment and log; only Python's start and the imports are shared.
Knows nothing of what is started.
"""

import multiprocessing
import os
import runpy
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

IMPORTED = ["retriever.app", "retriever.copying", "retriever.restoration", "servicekit.serve", "uvloop", "httptools", "fsspec"]
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(IMPORTED)


class Forked:
    """As much of `subprocess.Popen` as tests need."""

    def __init__(self, module: str, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self._process = CONTEXT.Process(target=_run, args=(module, tuple(arguments), dict(environment), str(log)))
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def poll(self) -> int | None:
        """The exit status, negative after a signal; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float) -> int:
        self._process.join(timeout)
        if (code := self._process.exitcode) is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout)
        return code

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self._process.kill()


def _run(module: str, arguments: tuple[str, ...], environment: dict[str, str], log: str) -> None:
    with open(log, "ab") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
