"""Compiles an artefact: runs vLLM once until it has written a token, and keeps what it compiled. Knows nothing of Kubernetes.

Either the whole artefact is there at the end or nothing is. The compiler crashes now and then (aws-neuron-sdk #1369): running it again is
the caller's part, the Job's backoffLimit.
"""

import contextlib
import fcntl
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from expander.runtimes import artefacts, processes, rules, served
from expander.runtimes.errors import ArtefactAbsent, ArtefactCorrupt, ArtefactMismatched, CompileBusy, CompileFailed, ServerSilent
from expander.runtimes.options import Options, values
from expander.runtimes.profile import Profile
from expander.runtimes.render import environment, render

ANSWER_S = 300.0
"""For one token of a server that says it is ready."""


def compile_artefact(profile: Profile, options: Options, root: Path, expected: str = "", *, budget_s: float | None = None) -> int:
    """Leaves the artefact at `root`/key and returns 0, at once when it is there already.

    Raises `Refused`, `ArtefactMismatched` when the caller expects another key, `CompileBusy` or `CompileFailed`.
    """
    rules.check(profile, options, compiling=True)
    hashed = artefacts.inputs(profile, options)
    identity = artefacts.expected_key(profile, options, expected)
    target = root / identity
    artefacts.require_model(options)
    root.mkdir(parents=True, exist_ok=True)
    with processes.stopped_by_signals(), _alone(root, identity), _partial(root, identity) as partial:
        try:
            artefacts.verify(target, identity, hashed, "It is compiled again.")
        except (ArtefactAbsent, ArtefactCorrupt, ArtefactMismatched) as error:
            print(error, file=sys.stderr)
        else:
            print(f"{target} is compiled already")
            return 0
        _run(profile, options, partial, profile.start_budget_s if budget_s is None else budget_s)
        try:
            manifest = artefacts.write_manifest(partial, identity, hashed)
        except ArtefactCorrupt as error:
            raise CompileFailed(f"vLLM was ready, but {error}: did it take them from a cache of its own?") from error
        shutil.rmtree(target, ignore_errors=True)
        os.replace(partial, target)
    print(f"{target} holds {len(manifest['files'])} files")
    return 0


def _run(profile: Profile, options: Options, partial: Path, budget_s: float) -> None:
    unset = (*profile.unset, "VLLM_API_KEY")  # a key would close /v1/models to the question whether it is ready
    line = processes.in_environment(render(profile, options), environment(profile, str(partial), compiling=True), unset)
    port = int(values(profile, options)["port"])
    child = processes.start(line)
    try:
        ready = processes.wait_ready(child, port, budget_s)
        status = child.poll()
        if ready:
            _require_an_answer(port, options.served_name)
    finally:
        processes.stop(child)
    if not ready:
        how = f"ended with status {status}" if status is not None else f"was not ready within {budget_s:g} s"
        raise CompileFailed(
            f"vLLM {how}; nothing was kept. Its own output, above, says why; a crash of the compiler may pass when run again"
        )


def _require_an_answer(port: int, model: str) -> None:
    """Raises `CompileFailed` where what was compiled loads and does not work: no pod shall find that out."""
    body = {"model": model, "messages": [{"role": "user", "content": "."}], "max_tokens": 1, "temperature": 0.0}
    try:
        status, answer = served.post(f"http://127.0.0.1:{port}/v1", "/chat/completions", body, ANSWER_S)
    except ServerSilent as error:
        raise CompileFailed(f"vLLM was ready and then silent; nothing was kept. {error}") from error
    if status != 200:
        raise CompileFailed(
            f"vLLM was ready and answered {status} to a chat of one token; nothing was kept. Does the model have a chat template?"
            f" It said: {answer[:300].decode(errors='replace')}"
        )


@contextlib.contextmanager
def _alone(root: Path, identity: str) -> Iterator[None]:
    """Holds the lock of this artefact; raises `CompileBusy`. The lock is the kernel's, so a killed process leaves none.

    The file stays: removed, it could be locked by one who had opened it before, while the next locks a new one.
    """
    with (root / f".{identity}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise CompileBusy(f"another process compiles {root / identity}; wait for it") from None
        yield


@contextlib.contextmanager
def _partial(root: Path, identity: str) -> Iterator[Path]:
    """An empty folder beside the artefact, gone at the end. One that a killed process left is removed first."""
    path = root / f".{identity}.partial"
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
